-- Writes a label batch's effects and the offset of its last label: all of it, or nothing. The watermark never
-- goes back, and values are set, not added: repeating it changes nothing.
--
-- KEYS  fence, watermark, a key for each risk record, a key for each verdict
-- ARGV  token, watermark, watermark known to be stored, TTL of risk records (ms), TTL of verdicts (ms), number of
--       risk records, a value for each of those keys
-- Returns {'done'}, {'fenced', fence} or {'behind', watermark}.

local call, keys, args = redis.call, KEYS, ARGV
local fence = call('GET', keys[1])
if fence ~= args[1] then return {'fenced', fence or 'none'} end

local stored = tonumber(call('GET', keys[2]) or '-1')
if stored < tonumber(args[3]) then return {'behind', tostring(stored)} end

local risk_ttl, verdict_ttl = args[4], args[5]
local last_risk = 2 + args[6]
for i = 3, last_risk do call('SET', keys[i], args[i + 4], 'PX', risk_ttl) end
for i = last_risk + 1, #keys do call('SET', keys[i], args[i + 4], 'PX', verdict_ttl) end
if tonumber(args[2]) > stored then call('SET', keys[2], args[2]) end
return {'done'}
