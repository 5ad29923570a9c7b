-- KEYS head, log; ARGV epoch, expected last, new epoch
local now = line(KEYS[1], KEYS[2])
if now[1] ~= 'line' or now[2] ~= ARGV[1] or now[3] ~= ARGV[2] then return {'moved', now} end
redis.call('HSET', KEYS[1], 'e', ARGV[3])
return {'done', now[3]}
