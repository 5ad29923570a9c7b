-- Puts entries back as they were, if the line ends where it is expected to.
-- KEYS head, log, marks; then for each entry its key, or the log's name for none
-- ARGV epoch, secret, expected last ('': the engine has nothing), print there, first position, bytes of
--      the window;
--      then for each entry: ttl of its key in ms, print, published ms, origin, bytes
local now = line(KEYS[1], KEYS[2])
if ARGV[3] == '' then
  if now[1] ~= 'none' then return {'moved', now} end
elseif now[1] ~= 'line' or now[2] ~= ARGV[1] or now[3] ~= ARGV[3] or now[4] ~= ARGV[4] then
  return {'moved', now}
elseif tonumber(ARGV[5]) ~= now[3] + 1 then
  return {'hole'}
end
local totals = redis.call('HMGET', KEYS[1], 'b', 'm')
redis.call('ZCARD', KEYS[3])
for i = 4, #KEYS do
  if KEYS[i] ~= KEYS[2] then redis.call('GET', KEYS[i]) end
end

local stored, marked = tonumber(totals[1] or '0'), tonumber(totals[2] or '0')
local n, last, print, ms = ARGV[5] - 1, nil, nil, nil
for i = 1, (#ARGV - 6) / 5 do
  local a = 6 + 5 * (i - 1)
  n = n + 1
  local position = string.format('%.0f', n)
  print, ms = ARGV[a + 2], ARGV[a + 3]
  local header = '1 ' .. print .. ' ' .. ms .. ' ' .. ARGV[a + 4]
  local added = redis.pcall('XADD', KEYS[2], position .. '-0', 'h', header, 'u', ARGV[a + 5])
  if added.err then
    if last then return redis.error_reply('MIDWAY ' .. added.err) end
    if string.find(added.err, 'equal or smaller', 1, true) then return {'repair', now[3]} end
    if string.find(added.err, 'OOM', 1, true) then return {'full'} end
    return redis.error_reply(added.err)
  end
  if KEYS[i + 3] ~= KEYS[2] then redis.call('SET', KEYS[i + 3], position, 'PX', ARGV[a + 1]) end
  stored = stored + #ARGV[a + 5] + ENTRY_OVERHEAD
  marked = mark(KEYS[3], position, stored, marked)
  last = position
end
trim(KEYS[2], KEYS[3], stored, tonumber(ARGV[6]))
redis.call('HSET', KEYS[1], 'v', '1', 'e', ARGV[1], 's', ARGV[2], 'n', last, 'f', print, 't', ms, 'b', string.format('%.0f', stored), 'm', string.format('%.0f', marked))
return {'done', last}
