-- Takes a batch at the next positions, all or nothing.
-- KEYS head, log, marks, answers of the sender; then for each item its key, or the log's name for none
-- ARGV epoch, seen, print at seen or '', boot, batch, bytes of the window;
--      then for each item: ttl of its key in ms, digest, origin, bytes
-- Everything that can fail comes before the first write: a script that dies is not rolled back.
local POSITION_MAX = 9007199254740991 -- the last one that a number of Lua holds exactly
local head = redis.call('HMGET', KEYS[1], 'v', 'e', 'n', 'f', 't', 'b', 'm')
if not head[1] then return {'none', '0'} end
if head[1] ~= '1' then return {'version', head[1]} end
if head[2] ~= ARGV[1] then return {'epoch', head[3]} end

local slot = 'b' .. (ARGV[5] % 8)
local tag = ARGV[1] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' '
local old = redis.call('HGET', KEYS[4], slot)
if old and string.sub(old, 1, #tag) == tag then
  redis.call('HSET', KEYS[1], 'p', '1') -- a write, after which WAIT covers those of the batch too
  return {'again', head[3], string.sub(old, #tag + 1)}
end

local n, seen = tonumber(head[3]), tonumber(ARGV[2])
if n < seen then return {'rewound', head[3]} end
if ARGV[3] ~= '' and seen > 0 then
  local print = head[4]
  if seen < n then -- costs a copy of that entry; the head has the print of the last one
    local at = redis.call('XRANGE', KEYS[2], ARGV[2] .. '-0', ARGV[2] .. '-0')[1]
    if not at then return {'behind', head[3]} end
    print = string.match(at[2][2], '^1 (%x+) ')
  end
  if print ~= ARGV[3] then return {'forked', head[3]} end
end

local count = (#ARGV - 6) / 4
local known, first, fresh = {}, {}, 0
for i = 1, count do
  local key = KEYS[4 + i]
  if key ~= KEYS[2] then
    known[i] = redis.call('GET', key)
    if not known[i] then
      first[i] = first[key] -- the same key twice in the batch
      first[key] = first[key] or i
    end
  end
  if not known[i] and not first[i] then fresh = fresh + 1 end
end
if n + fresh > POSITION_MAX then return {'full', head[3]} end
redis.call('ZCARD', KEYS[3])

local time = redis.call('TIME')
local ms = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(head[5]))
local ms_text = string.format('%.0f', ms)
local print, stored, marked = head[4], tonumber(head[6]), tonumber(head[7])
local last, marked_before, places = head[3], marked, {}
for i = 1, count do
  local a = 6 + 4 * (i - 1)
  if known[i] then
    places[i] = '=' .. known[i]
  elseif first[i] then
    places[i] = '=' .. places[first[i]]
  else
    n = n + 1
    local position = string.format('%.0f', n) -- tostring() turns 1e15 into "1e+15"
    print = link(print, ms_text, ARGV[a + 2])
    local header = '1 ' .. print .. ' ' .. ms_text .. ' ' .. ARGV[a + 3]
    local added = redis.pcall('XADD', KEYS[2], position .. '-0', 'h', header, 'u', ARGV[a + 4])
    if added.err then
      if last ~= head[3] then return redis.error_reply('MIDWAY ' .. added.err) end
      if string.find(added.err, 'equal or smaller', 1, true) then return {'repair', head[3]} end
      if string.find(added.err, 'OOM', 1, true) then return {'full', head[3]} end
      return redis.error_reply(added.err) -- READONLY, NOREPLICAS: not for us to repair
    end
    if KEYS[4 + i] ~= KEYS[2] then redis.call('SET', KEYS[4 + i], position, 'PX', ARGV[a + 1]) end
    stored = stored + #ARGV[a + 4] + ENTRY_OVERHEAD
    marked = mark(KEYS[3], position, stored, marked)
    last, places[i] = position, position
  end
end
if marked > marked_before then trim(KEYS[2], KEYS[3], stored, tonumber(ARGV[6])) end
redis.call('HSET', KEYS[1], 'n', last, 'f', print, 't', ms_text, 'b', string.format('%.0f', stored), 'm', string.format('%.0f', marked))
redis.call('HSET', KEYS[4], slot, tag .. table.concat(places, ','))
redis.call('PEXPIRE', KEYS[4], 600000)
return {'ok', last, table.concat(places, ',')}
