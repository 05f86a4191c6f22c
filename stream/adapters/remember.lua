-- Forgets, of some keys, those of one kind of which least is known: those that are shortest, as states are stored
-- without their zero bytes, and of these the ones written longest ago. Established customers are long, and outlive
-- any number of new ones.
--
-- KEYS  none: which it looks at is for SCAN to say
-- ARGV  cursor, keys to look at, a pattern of Lua that keys of the kind match, 1 to forget or 0 to count only
-- Returns the next cursor, keys looked at, those of the kind among them, and how many were forgotten.

local call, args = redis.call, ARGV
local answer = call('SCAN', args[1], 'COUNT', args[2])
local some = {}
for _, key in ipairs(answer[2]) do
  if string.find(key, args[3]) then
    some[#some + 1] = args[4] == '1' and {key, call('STRLEN', key), call('PTTL', key)} or {key}
  end
end

local function before(one, other)
  if one[2] ~= other[2] then return one[2] < other[2] end
  return one[3] < other[3]
end

local forgotten = 0
if args[4] == '1' and #some > 0 then
  table.sort(some, before)
  -- Half of those that are about as short as the shortest; where nearly all are long, a few all the same.
  local short, most, least = some[1][2] * 9 / 8, math.ceil(#some / 2), math.ceil(#some / 16)
  for n, one in ipairs(some) do
    if n > most or n > least and one[2] > short then break end
    call('UNLINK', one[1])
    forgotten = forgotten + 1
  end
end
return {answer[1], #answer[2], #some, forgotten}
