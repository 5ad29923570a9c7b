-- KEYS head, log
-- Writes first: a replica, or a primary that was demoted, answers READONLY and not an old state.
-- An engine that has nothing stays so.
redis.call('HSET', KEYS[1], 'p', '1')
if redis.call('HLEN', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
return line(KEYS[1], KEYS[2])
