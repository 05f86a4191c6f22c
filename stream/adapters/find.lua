-- Finds values by their fields in generations. A script, so that the fields are sent once and nothing comes back
-- for those that are in none, as nearly all that a scorer asks for are.
--
-- KEYS  generations, the newest first
-- ARGV  fields
-- Returns for each that is found its place in ARGV and its value, of the newest generation that has it.

local call = redis.call
local fields, places, answer = ARGV, nil, {}
for g = 1, #KEYS do
  local here = {}
  for first = 1, #fields, 1000 do
    local last = math.min(first + 999, #fields)
    local values = call('HMGET', KEYS[g], unpack(fields, first, last))
    for i = 1, #values do
      if values[i] then
        local n = first + i - 1
        here[n] = true
        answer[#answer + 1] = places and places[n] or n
        answer[#answer + 1] = values[i]
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
return answer
