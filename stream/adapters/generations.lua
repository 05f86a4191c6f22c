-- What the scripts that write generations have in common: it stands before each of them.
--
-- A generation is a hash; an index says until when each is kept, by the clock of whoever writes.

local call = redis.call

-- Puts the fields and values of args, from the first on, into a generation. The time to live is for what nobody
-- ever removes: freed by it, a large hash would keep Redis from everything else meanwhile.
local function put(index, generation, number, kept_until, ttl, args, first)
  if first > #args then return end
  for i = first, #args, 2000 do
    call('HSET', generation, unpack(args, i, math.min(i + 1999, #args)))
  end
  call('HSET', index, number, kept_until)
  call('PEXPIRE', generation, ttl)
  call('PEXPIRE', index, ttl)
end

-- Removes generations: count of them, named from keys[first_key] on and numbered from args[first_arg] on. Only
-- those whose time is over by the clock of Redis too: a writer's clock that leaps ahead removes nothing.
local function remove(index, keys, first_key, args, first_arg, count)
  if count == 0 then return end
  local time = call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  for i = 0, count - 1 do
    local kept_until = call('HGET', index, args[first_arg + i])
    if kept_until and tonumber(kept_until) <= now then
      call('UNLINK', keys[first_key + i])
      call('HDEL', index, args[first_arg + i])
    end
  end
end
