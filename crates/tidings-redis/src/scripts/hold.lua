-- A named lease. KEYS the lease; ARGV holder, ttl ms. Returns 'holder' and who it is.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'holder', holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'holder', ARGV[1]}
