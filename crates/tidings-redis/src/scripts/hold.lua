-- A named lease. KEYS the lease, its note; ARGV holder, ttl ms or '0' to give it up, '1' if a note comes, note
-- Returns 'holder', who it is (the caller also after giving up), and the note, which may be empty.
local holder = redis.call('GET', KEYS[1])
local note = redis.call('GET', KEYS[2]) or ''
if holder and holder ~= ARGV[1] then return {'holder', holder, note} end
if ARGV[3] == '1' and (holder or ARGV[2] ~= '0') then
  redis.call('SET', KEYS[2], ARGV[4])
  note = ARGV[4]
end
if ARGV[2] ~= '0' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif holder then
  redis.call('DEL', KEYS[1])
end
return {'holder', ARGV[1], note}
