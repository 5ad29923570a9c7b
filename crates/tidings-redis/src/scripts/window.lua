-- Before the scripts that store entries: the window, which is bounded in bytes.
-- A mark (score: a position; member: all bytes ever stored up to it) is made about every 64 KiB, so
-- that neither a trim nor a bounded read looks at the entries themselves.
local MARK_EVERY = 65536
local ENTRY_OVERHEAD = 256 -- what an entry costs beside its bytes, generously
local TRIMMED_MARKS_MAX = 16

local function mark(marks_key, position, stored, marked)
  if stored - marked < MARK_EVERY then return marked end
  redis.call('ZADD', marks_key, position, string.format('%.0f', stored))
  return stored
end

-- Removes entries beyond the window. The mark that the window begins after stays.
local function trim(log_key, marks_key, stored, window)
  local cut
  for _ = 1, TRIMMED_MARKS_MAX do
    local two = redis.call('ZRANGE', marks_key, 0, 1, 'WITHSCORES')
    if not two[3] or tonumber(two[3]) > stored - window then break end
    cut = tonumber(two[4])
    redis.call('ZREM', marks_key, two[1])
  end
  if cut then
    redis.call('XTRIM', log_key, 'MINID', '~', string.format('%.0f-0', cut + 1), 'LIMIT', 0)
  end
end

