-- Before every script that says where the line stands.
-- Returns 'line', epoch, last, print, secret, oldest and whether entries are beyond the last; or 'none', or 'half', or 'version' and what it is.
local function line(head_key, log_key)
  local head = redis.call('HMGET', head_key, 'v', 'e', 'n', 'f', 's')
  local first = redis.call('XRANGE', log_key, '-', '+', 'COUNT', 1)[1]
  if not head[1] then
    return {(first or redis.call('EXISTS', head_key, log_key) > 0) and 'half' or 'none'}
  end
  if head[1] ~= '1' then return {'version', head[1]} end
  if not (head[2] and head[3] and head[4] and head[5]) then return {'half'} end
  local oldest = first and string.match(first[1], '^(%d+)-0$') or string.format('%.0f', head[3] + 1)
  local beyond = redis.call('XRANGE', log_key, string.format('%.0f-0', head[3] + 1), '+', 'COUNT', 1)[1]
  return {'line', head[2], head[3], head[4], head[5], oldest, beyond and 'torn' or 'whole'}
end

