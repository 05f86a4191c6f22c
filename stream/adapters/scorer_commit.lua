-- Writes a record batch's effects and its watermark: all of it, or nothing.
--
-- KEYS  fence, watermark, ledger, a key for each customer, a key for each pending record
-- ARGV  token, watermark expected, watermark to set, TTL of customers (ms), TTL of pending records (ms),
--       number of customers, a value for the ledger (empty: it stays) and each key after it
-- Returns {'done'}, {'fenced', fence} or {'elsewhere', watermark}.

local call, keys, args = redis.call, KEYS, ARGV
local fence = call('GET', keys[1])
if fence ~= args[1] then return {'fenced', fence or 'none'} end

local ahead = tonumber(args[3]) > tonumber(args[2])
local stored = call('GET', keys[2]) or '-1'
if stored ~= args[2] then
  -- This very commit went through before and its answer was lost: there is nothing left to do.
  if ahead and stored == args[3] then return {'done'} end
  return {'elsewhere', stored}
end

local state_ttl, pending_ttl = args[4], args[5]
if args[7] ~= '' then call('SET', keys[3], args[7]) end
local last_customer = 3 + args[6]
for i = 4, last_customer do call('SET', keys[i], args[i + 4], 'PX', state_ttl) end
for i = last_customer + 1, #keys do call('SET', keys[i], args[i + 4], 'PX', pending_ttl) end
if ahead then call('SET', keys[2], args[3]) end
return {'done'}
