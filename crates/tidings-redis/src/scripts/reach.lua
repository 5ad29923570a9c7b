-- How far a read may go, so that it stays within its bytes. Only reads.
-- KEYS head, marks; ARGV after, bytes
-- Returns 'none', or 'reach', the newest position and the position to read up to: at least the next one, if there is one.
local MARKS_MAX = 64
local head = redis.call('HMGET', KEYS[1], 'n', 'b')
if not head[1] then return {'none'} end
local n, after, bytes = tonumber(head[1]), tonumber(ARGV[1]), tonumber(ARGV[2])
if n <= after then return {'reach', head[1], head[1]} end
local base = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, 1)[1] or '0'
local upto = after + 1
local marks = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, MARKS_MAX)
local fits = true
for i = 1, #marks, 2 do
  fits = marks[i] - base <= bytes
  if not fits then break end
  upto = math.max(upto, tonumber(marks[i + 1]))
end
if fits and #marks < 2 * MARKS_MAX and head[2] - base <= bytes then upto = n end
return {'reach', head[1], string.format('%.0f', upto)}
