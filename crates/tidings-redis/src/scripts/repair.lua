-- A head behind its log takes over the entries beyond it: an append died midway.
-- KEYS head, log, marks; ARGV epoch, expected last
-- Entries are read for their sizes, so one call takes over those of one batch.
local ENTRIES_MAX = 256
local now = line(KEYS[1], KEYS[2])
if now[1] ~= 'line' or now[2] ~= ARGV[1] or now[3] ~= ARGV[2] then return {'moved', now} end
local totals = redis.call('HMGET', KEYS[1], 'b', 'm')
local stored, marked = tonumber(totals[1]), tonumber(totals[2])
local n, print, ms = tonumber(now[3]), nil, nil
local beyond = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', n + 1), '+', 'COUNT', ENTRIES_MAX)
for _, entry in ipairs(beyond) do
  local position = string.match(entry[1], '^(%d+)-0$')
  if not position or tonumber(position) ~= n + 1 then return {'foreign', entry[1]} end
  print, ms = string.match(entry[2][2], '^1 (%x+) (%d+) ')
  if not print then return {'foreign', entry[1]} end
  n = n + 1
  stored = stored + #entry[2][4] + ENTRY_OVERHEAD
  marked = mark(KEYS[3], position, stored, marked)
end
if not print then return {'done', now[3]} end
local last = string.format('%.0f', n)
redis.call('HSET', KEYS[1], 'n', last, 'f', print, 't', ms, 'b', string.format('%.0f', stored), 'm', string.format('%.0f', marked))
return {'done', last}
