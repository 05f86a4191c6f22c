-- Finds values by their fields in generations. A script, so that the fields are sent once and nothing comes back
-- for those that are in none, as nearly all that a scorer asks for are. What there is much of is packed: some
-- thousand small arguments or answers would cost more than all that is looked for.
--
-- KEYS  generations, the newest first
-- ARGV  fields: a msgpack array of strings
-- Returns nothing where none is found, or for those that are: their places among the fields, from 1, and the sizes
-- of their values, either a msgpack array; and their values, of the newest generation that has each, in a row.

local call = redis.call
local fields, places = cmsgpack.unpack(ARGV[1]), nil
local found, sizes, values = {}, {}, {}
for g = 1, #KEYS do
  local here = {}
  for first = 1, #fields, 1000 do
    local last = math.min(first + 999, #fields)
    local answer = call('HMGET', KEYS[g], unpack(fields, first, last))
    for i = 1, #answer do
      local value = answer[i]
      if value then
        local n = first + i - 1
        here[n] = true
        found[#found + 1] = places and places[n] or n
        sizes[#sizes + 1] = #value
        values[#values + 1] = value
      end
    end
  end
  if next(here) then
    local left, left_places = {}, {}
    for n = 1, #fields do
      if not here[n] then
        left[#left + 1] = fields[n]
        left_places[#left_places + 1] = places and places[n] or n
      end
    end
    fields, places = left, left_places
  end
end
if #found == 0 then return false end
return {cmsgpack.pack(found), cmsgpack.pack(sizes), table.concat(values)}
