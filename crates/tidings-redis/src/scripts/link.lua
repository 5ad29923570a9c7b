-- Before the scripts that form prints: that of an entry from the one before it ('' at the first), the
-- time and the digest, as tidings_cluster::link forms it.
local function link(before, ms, digest)
  return string.sub(redis.sha1hex(before .. ':' .. ms .. ':' .. digest), 1, 32)
end

