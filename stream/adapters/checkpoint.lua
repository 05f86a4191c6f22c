-- Makes a staged checkpoint the newest, and forgets the oldest.
--
-- KEYS  fence, the staged checkpoint, the places of the kept ones from newest to oldest
-- ARGV  token
-- Returns {'done'}, {'fenced', fence} or {'lost'} when the staged checkpoint is gone.

local call, keys = redis.call, KEYS
local fence = call('GET', keys[1])
if fence ~= ARGV[1] then return {'fenced', fence or 'none'} end
if call('EXISTS', keys[2]) == 0 then return {'lost'} end

call('PERSIST', keys[2])
call('UNLINK', keys[#keys])
for i = #keys, 3, -1 do
  if call('EXISTS', keys[i - 1]) == 1 then call('RENAME', keys[i - 1], keys[i]) end
end
return {'done'}
