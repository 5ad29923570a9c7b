-- KEYS head, log; ARGV epoch, secret ('': only read)
-- Returns 'made' or 'found', then the line; or 'none', 'half', 'version'.
local now = line(KEYS[1], KEYS[2])
if now[1] == 'line' then return {'found', now} end
if now[1] ~= 'none' or ARGV[2] == '' then return now end
redis.call('HSET', KEYS[1], 'v', '1', 'e', ARGV[1], 's', ARGV[2], 'n', '0', 'f', '', 't', '0', 'b', '0', 'm', '0')
return {'made', line(KEYS[1], KEYS[2])}
