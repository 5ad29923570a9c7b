-- KEYS leases, record of the dead, claimed; ARGV dead, by, ttl of the claim's trace in ms
-- Returns 'won' and the record, or 'alive', or 'gone'.
local until_ms = redis.call('HGET', KEYS[1], ARGV[1])
if not until_ms then return {'gone'} end
local time = redis.call('TIME')
if tonumber(until_ms) > time[1] * 1000 + math.floor(time[2] / 1000) then return {'alive'} end
local record = redis.call('GET', KEYS[2]) or ''
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) -- a node that was only paused learns of it by this
return {'won', record}
