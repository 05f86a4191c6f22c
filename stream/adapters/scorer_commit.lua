-- Writes a record batch's effects and its watermark: all of it, or nothing.
--
-- KEYS  fence, watermark, ledger, lineups, index of generations, the generation to write to, the generations to
--       remove, a key for each customer
-- ARGV  token, watermark expected, watermark to set, TTL of customers (ms), TTL of the generation (ms), its
--       number, until when it is kept (ms), number of those to remove, number of lineups, number of customers,
--       ledger (empty: it stays), the numbers of those to remove, name and value of each lineup, a value for each
--       customer, field and value of each pending record
-- Returns {'done', keys that Redis has}, {'fenced', fence} or {'elsewhere', watermark}.

local keys, args = KEYS, ARGV
local fence = call('GET', keys[1])
if fence ~= args[1] then return {'fenced', fence or 'none'} end

local ahead = tonumber(args[3]) > tonumber(args[2])
local stored = call('GET', keys[2]) or '-1'
if stored ~= args[2] then
  -- This very commit went through before and its answer was lost: there is nothing left to do.
  if ahead and stored == args[3] then return {'done', call('DBSIZE')} end
  return {'elsewhere', stored}
end

local state_ttl, old, lineups, customers = args[4], tonumber(args[8]), tonumber(args[9]), tonumber(args[10])
if args[11] ~= '' then call('SET', keys[3], args[11]) end
local at = 12 + old
for i = at, at + 2 * lineups - 1, 2 do call('HSETNX', keys[4], args[i], args[i + 1]) end
at = at + 2 * lineups
for i = 0, customers - 1 do call('SET', keys[7 + old + i], args[at + i], 'PX', state_ttl) end
put(keys[5], keys[6], args[6], args[7], args[5], args, at + customers)
if ahead then call('SET', keys[2], args[3]) end
-- Last, as a full Redis refuses a script only where its first write takes memory.
remove(keys[5], keys, 7, args, 12, old)
return {'done', call('DBSIZE')}
