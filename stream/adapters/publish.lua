-- Makes a roster and its snapshots the active ones.
--
-- The snapshots were uploaded under staging names before: megabytes that pass through Lua are copied while
-- every scorer waits, a RENAME is not.
--
-- KEYS  fence, roster, revision, set of snapshot names; n staged snapshots, their n final keys; the keys of
--       snapshots that no roster names any more
-- ARGV  token, roster, TTL of retired snapshots (ms), the n names
-- Returns {'done', revision}, {'fenced', fence} or {'lost'} when a staged snapshot is gone.

local call, keys, args = redis.call, KEYS, ARGV
local fence = call('GET', keys[1])
if fence ~= args[1] then return {'fenced', fence or 'none'} end

local n = #args - 3
for i = 5, 4 + n do
  if call('EXISTS', keys[i]) == 0 then return {'lost'} end
end

-- First, since a full or read-only Redis refuses a script at its first write only.
call('SET', keys[2], args[2])
for i = 5, 4 + n do
  call('UNLINK', keys[i + n])
  call('RENAME', keys[i], keys[i + n])
  call('PERSIST', keys[i + n])
end
call('DEL', keys[4])
for i = 4, 3 + n do call('SADD', keys[4], args[i]) end
for i = 5 + 2 * n, #keys do call('PEXPIRE', keys[i], args[3]) end
return {'done', call('INCR', keys[3])}
