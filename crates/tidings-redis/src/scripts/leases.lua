-- KEYS leases. Returns each holder and whether its lease runs, by the server's clock.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do all[i] = tonumber(all[i]) > now_ms and '1' or '0' end
return all
