-- The lease of a node. KEYS leases, record, claimed; ARGV holder, ttl ms, '1' if a record comes, record
-- Returns 'held', or 'claimed' and by whom.
local by = redis.call('GET', KEYS[3])
if by then return {'claimed', by} end
redis.call('EXISTS', KEYS[2])
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', until_ms))
if ARGV[3] == '1' then redis.call('SET', KEYS[2], ARGV[4]) end
return {'held'}
