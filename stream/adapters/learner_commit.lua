-- Writes a label batch's effects and the offset of its last label: all of it, or nothing. The watermark never
-- goes back, and values are set, not added: repeating it changes nothing.
--
-- KEYS  fence, watermark, index of generations, the generation to write to, the generations to remove, a key for
--       each risk record
-- ARGV  token, watermark, watermark known to be stored, TTL of risk records (ms), TTL of the generation (ms), its
--       number, until when it is kept (ms), number of those to remove, number of risk records, the numbers of
--       those to remove, a value for each risk record, field and value of each verdict
-- Returns {'done', keys that Redis has}, {'fenced', fence} or {'behind', watermark}.

local keys, args = KEYS, ARGV
local fence = call('GET', keys[1])
if fence ~= args[1] then return {'fenced', fence or 'none'} end

local stored = tonumber(call('GET', keys[2]) or '-1')
if stored < tonumber(args[3]) then return {'behind', tostring(stored)} end

local risk_ttl, old, risks = args[4], tonumber(args[8]), tonumber(args[9])
local at = 10 + old
for i = 0, risks - 1 do call('SET', keys[5 + old + i], args[at + i], 'PX', risk_ttl) end
put(keys[3], keys[4], args[6], args[7], args[5], args, at + risks)
if tonumber(args[2]) > stored then call('SET', keys[2], args[2]) end
-- Last, as a full Redis refuses a script only where its first write takes memory.
remove(keys[3], keys, 5, args, 10, old)
return {'done', call('DBSIZE')}
