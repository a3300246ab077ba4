-- What the frontier does inside the server. Each `--@ name` begins a script; what stands before the first belongs to all.
--
-- KEYS: the ten of the shard in this order, then those that a script names. All share one hash tag.
-- ARGV: "" or, in tests, what time it is; "1" when this call is a repeat whose first answer was lost; its data, packed;
-- octets as they are.
-- Times are microseconds since 1970 by the server's clock; what comes in and goes out is relative to it (`NOW`).
-- Numbers never pass through `..` or tostring, which keep 14 digits of them only.

local HOSTS, READY, TERMS, LEASES, STAND = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local CONTROL, ENDED, DEAD, SITES, BLOCKS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local call, pack, unpack_ = redis.call, cmsgpack.pack, cmsgpack.unpack
local AGAIN = ARGV[2] == '1'
local IN = unpack_(ARGV[3])

local NOW = tonumber(ARGV[1])
if not NOW then
  local time = call('TIME')
  NOW = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- A host: {clock, end of its block (-1: none), id of its lease or 0, URLs accepted, address}.
local FREE, BLOCKED, LEASE, PAGES, ADDRESS = 1, 2, 3, 4, 5

local function host_of(authority)
  local stored = call('HGET', HOSTS, authority)
  if stored then return unpack_(stored) end
  return {0, 0, 0, 0, ''}, true
end

local function keep_host(authority, host)
  call('HSET', HOSTS, authority, pack(host))
end

local function add(field, by)
  if by ~= 0 then call('HINCRBY', STAND, field, by) end
end

-- When a host may be claimed: the latest of its clock, the end of its block and its earliest due URL.
local function set_ready(authority, host, queue, waiting)
  local due = nil
  if host[LEASE] == 0 and host[BLOCKED] ~= -1 then
    if call('EXISTS', queue) == 1 then
      due = 0
    else
      due = tonumber(call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2])
    end
  end
  if due then
    call('ZADD', READY, math.max(host[FREE], host[BLOCKED], due), authority)
  else
    call('ZREM', READY, authority)
  end
end

-- A queued URL: its number in five octets, which orders URLs of one score by age, then {path, payload} of a fresh one
-- or {path, payload, attempt, losses, lost, rank}. What is due is scored by rank, what waits by its time.
local function enqueue(queue, waiting, item, entry, due)
  local member = struct.pack('>I5', item) .. pack(entry)
  if due > 0 then
    call('ZADD', waiting, due, member)
  else
    call('ZADD', queue, entry[6], member)
  end
end

-- A lease: {authority, worker, path ('' of a hold), payload, attempt, rank, item, losses, lost, address}.
-- Its number is one more than the last, and at least the milliseconds since 2020: a server that has lost its last moment
-- must not give one away again that somebody may come back with.
local function new_lease(shards, shard, worker, term, mine, authority, host, lease)
  local last = tonumber(call('HGET', STAND, 'leases') or 0)
  local number = math.max(last + 1, math.floor(NOW / 1000) - 1577836800000)
  call('HSET', STAND, 'leases', number)
  local id = number * shards + shard
  call('HSET', LEASES, id, pack(lease))
  call('ZADD', TERMS, NOW + term, id)
  call('SADD', mine, id)
  call('ZREM', READY, authority)
  host[LEASE] = id
  keep_host(authority, host)
  return id
end

-- The lease that a call granted whose answer was lost, when this is its repeat.
local function granted_before(host, worker)
  if not (AGAIN and host[LEASE] ~= 0) then return nil end
  local lease = unpack_(call('HGET', LEASES, host[LEASE]))
  return lease[2] == worker and lease or nil
end

local function drop_lease(id, mine, lease)
  call('HDEL', LEASES, id)
  call('ZREM', TERMS, id)
  call('SREM', mine, id)
  if lease[3] ~= '' then add('leased', -1) end
end

--@ push
-- IN {most per host, most per site, {{authority, site, key of its queue, {{fingerprint, key of its bucket, path,
-- payload, rank}...}}...}} -> {positions of those that were new, of those over budget}
local most_per_host, most_per_site, groups = IN[1], IN[2], IN[3]
local item = tonumber(call('HGET', STAND, 'items') or 0)
local first, position, fresh, over = item, 0, {}, {}
for _, group in ipairs(groups) do
  local authority, site, queue = group[1], group[2], KEYS[group[3]]
  local host, unknown = host_of(authority)
  local room = 2 ^ 53
  if most_per_host > 0 then room = most_per_host - host[PAGES] end
  if most_per_site > 0 then room = math.min(room, most_per_site - tonumber(call('HGET', SITES, site) or 0)) end
  local rows, new = {}, 0
  for _, one in ipairs(group[4]) do
    position = position + 1
    if new >= room then
      if call('SISMEMBER', KEYS[one[2]], one[1]) == 0 then over[#over + 1] = position end
    elseif call('SADD', KEYS[one[2]], one[1]) == 1 then
      new, item = new + 1, item + 1
      fresh[#fresh + 1] = position
      rows[#rows + 1] = one[5]
      rows[#rows + 1] = struct.pack('>I5', item) .. pack({one[3], one[4]})
    end
  end
  for from = 1, #rows, 1000 do
    call('ZADD', queue, unpack(rows, from, math.min(from + 999, #rows)))
  end
  if new > 0 then
    host[PAGES] = host[PAGES] + new
    call('HINCRBY', SITES, site, new)
    if host[LEASE] == 0 and host[BLOCKED] ~= -1 then
      call('ZADD', READY, math.max(host[FREE], host[BLOCKED]), authority)
    end
  end
  if new > 0 or unknown then keep_host(authority, host) end
end
add('items', item - first)
add('seen', item - first)
add('queued', item - first)
add('over', #over)
return pack({fresh, over})

--@ requeue
-- IN {authority, site, {{fingerprint, key of its bucket, path, payload, rank, url}...}}; keys: queue, waiting, buckets
-- -> how many were queued. Reads the whole queue of the authority.
local authority, queue, waiting = IN[1], KEYS[11], KEYS[12]
local host = host_of(authority)
local taken = {}
for _, key in ipairs({queue, waiting}) do
  for from = 0, call('ZCARD', key), 1000 do
    for _, member in ipairs(call('ZRANGE', key, from, from + 999)) do
      taken[unpack_(string.sub(member, 6))[1]] = true
    end
  end
end
if host[LEASE] ~= 0 then taken[unpack_(call('HGET', LEASES, host[LEASE]))[3]] = true end
local queued, new, item = 0, 0, tonumber(call('HGET', STAND, 'items') or 0)
for _, one in ipairs(IN[3]) do
  if not taken[one[3]] then
    taken[one[3]] = true
    queued = queued + 1
    new = new + call('SADD', KEYS[one[2]], one[1])
    add('dead', -call('HDEL', DEAD, one[6]))
    call('ZADD', queue, one[5], struct.pack('>I5', item + queued) .. pack({one[3], one[4]}))
  end
end
host[PAGES] = host[PAGES] + new
if new > 0 then call('HINCRBY', SITES, IN[2], new) end
keep_host(authority, host)
set_ready(authority, host, queue, waiting)
add('items', queued)
add('queued', queued)
add('seen', new)
return pack({queued})

--@ look
-- IN {n} -> {state, epoch, {ready authority, since when...}, {{id, authority, worker} of a lease past its term...}}
local expired = {}
for _, id in ipairs(call('ZRANGEBYSCORE', TERMS, '-inf', NOW, 'LIMIT', 0, 100)) do
  local lease = unpack_(call('HGET', LEASES, id))
  expired[#expired + 1] = {tonumber(id), lease[1], lease[2]}
end
local ready = call('ZRANGEBYSCORE', READY, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, IN[1])
return pack({call('HGET', CONTROL, 'state'), call('HGET', CONTROL, 'epoch'), ready, expired})

--@ reap
-- IN {{id, authority, its keys: queue, waiting, holder's leases}...}
for _, one in ipairs(IN) do
  local id, authority, queue, waiting, mine = one[1], one[2], KEYS[one[3]], KEYS[one[4]], KEYS[one[5]]
  local term = tonumber(call('ZSCORE', TERMS, id))
  if term and term <= NOW then
    local lease, host = unpack_(call('HGET', LEASES, id)), host_of(authority)
    drop_lease(id, mine, lease)
    add('lost', 1)
    if lease[3] ~= '' then
      enqueue(queue, waiting, lease[7], {lease[3], lease[4], lease[5], lease[8] + 1, id, lease[6]}, 0)
      add('queued', 1)
    end
    host[LEASE] = 0
    keep_host(authority, host)
    set_ready(authority, host, queue, waiting)
  end
end
return pack({})

--@ claim
-- IN {epoch, worker, term, shards, shard, {{authority, its keys: queue, waiting}...}}; key: this worker's leases
-- -> {state, epoch, {{id, authority, path, payload, attempt, rank, losses, lost, address}...}}
local state, epoch, leases, new = call('HGET', CONTROL, 'state'), call('HGET', CONTROL, 'epoch'), {}, 0
if (epoch and epoch ~= IN[1]) or (state and state ~= 'run') then return pack({state, epoch, leases}) end
for _, one in ipairs(IN[6]) do
  local authority, queue, waiting = one[1], KEYS[one[2]], KEYS[one[3]]
  local host = host_of(authority)
  local at, before = tonumber(call('ZSCORE', READY, authority)), granted_before(host, IN[2])
  if before and before[3] ~= '' then
    leases[#leases + 1] = {host[LEASE], authority, before[3], before[4], before[5], before[6], before[8], before[9],
      before[10]}
  elseif at and at <= NOW then
    -- What was put back and has come due competes with the rest again.
    for _, member in ipairs(call('ZRANGEBYSCORE', waiting, '-inf', NOW)) do
      call('ZADD', queue, unpack_(string.sub(member, 6))[6], member)
      call('ZREM', waiting, member)
    end
    local best = call('ZPOPMIN', queue)
    local item = struct.unpack('>I5', best[1])
    local entry, rank = unpack_(string.sub(best[1], 6)), tonumber(best[2])
    local attempt, losses, lost = entry[3] or 1, entry[4] or 0, entry[5] or 0
    local lease = {authority, IN[2], entry[1], entry[2], attempt, rank, item, losses, lost, host[ADDRESS]}
    local id = new_lease(IN[4], IN[5], IN[2], IN[3], KEYS[11], authority, host, lease)
    leases[#leases + 1] = {id, authority, entry[1], entry[2], attempt, rank, losses, lost, host[ADDRESS]}
    new = new + 1
  end
end
add('queued', -new)
add('leased', new)
return pack({state, epoch, leases})

--@ hold
-- IN {authority, worker, term, shards, shard, wait for a lease}; key: this worker's leases
-- -> {id or 0, wait (-1: for ever), address}
local authority = IN[1]
local host = host_of(authority)
local before = granted_before(host, IN[2])
if before and before[3] == '' then return pack({host[LEASE], 0, before[10]}) end
if host[LEASE] ~= 0 then
  return pack({0, math.max(0, math.min(IN[6], call('ZSCORE', TERMS, host[LEASE]) - NOW)), ''})
end
if host[BLOCKED] == -1 then return pack({0, -1, ''}) end
local at = math.max(host[FREE], host[BLOCKED])
if at > NOW then return pack({0, at - NOW, ''}) end
local lease = {authority, IN[2], '', '', 1, 0, 0, 0, 0, host[ADDRESS]}
return pack({new_lease(IN[4], IN[5], IN[2], IN[3], KEYS[11], authority, host, lease), 0, host[ADDRESS]})

--@ check
-- IN {worker, {id...}} -> ids that are not this worker's
local lost = {}
for _, id in ipairs(IN[2]) do
  local lease = call('HGET', LEASES, id)
  if not (lease and unpack_(lease)[2] == IN[1]) then lost[#lost + 1] = id end
end
return pack(lost)

--@ finish
-- IN {worker, {{id, its keys: queue, waiting, clock, due or false, false | 'try' | 'anew', address, dead, rest}...}}; key: this
-- worker's leases -> ids that are not this worker's
local mine, lost = KEYS[11], {}
for _, one in ipairs(IN[2]) do
  local id, queue, waiting = one[1], KEYS[one[2]], KEYS[one[3]]
  local stored = call('HGET', LEASES, id)
  local lease = stored and unpack_(stored)
  if lease and lease[2] == IN[1] then
    local authority, path, tried = lease[1], lease[3], one[6]
    local host = host_of(authority)
    drop_lease(id, mine, lease)
    call('ZADD', ENDED, NOW, id)
    if path ~= '' and one[8] then
      local url = path
      if string.sub(path, 1, 1) == '/' then url = authority .. path end
      add('dead', call('HSETNX', DEAD, url, pack({authority, lease[4], lease[6]})))
    elseif path ~= '' and (one[5] or not tried) then
      local attempt, before = lease[5], lease[9]
      if tried then attempt, before = tried == 'anew' and 1 or attempt + 1, 0 end -- then its holder has entered what became of the one before
      local due = one[5] and math.max(NOW + one[5], 0) or 0
      enqueue(queue, waiting, lease[7], {path, lease[4], attempt, lease[8], before, lease[6]}, due)
      add('queued', 1)
    end
    host[LEASE] = 0
    host[FREE] = math.max(host[FREE], NOW + one[4])
    if one[7] ~= '' then host[ADDRESS] = one[7] end
    keep_host(authority, host)
    set_ready(authority, host, queue, waiting)
    if one[9] > 0 then call('ZADD', READY, 'XX', 'GT', NOW + one[9], authority) end
  elseif not (AGAIN and call('ZSCORE', ENDED, id)) then
    lost[#lost + 1] = id
  end
end
call('ZREMRANGEBYSCORE', ENDED, '-inf', NOW - 600000000)
return pack(lost)

--@ mine
-- key: this worker's leases -> {{id, authority, is a hold, what is left of its term}...}
local found = {}
for _, id in ipairs(call('SMEMBERS', KEYS[11])) do
  local lease = unpack_(call('HGET', LEASES, id))
  found[#found + 1] = {tonumber(id), lease[1], lease[3] == '', call('ZSCORE', TERMS, id) - NOW}
end
return pack(found)

--@ resume
-- IN {worker, term, {id...}} -> leases as `claim` gives them
local leases = {}
for _, id in ipairs(IN[3]) do
  local stored = call('HGET', LEASES, id)
  local lease = stored and unpack_(stored)
  if lease and lease[2] == IN[1] then
    if not AGAIN then lease[8] = lease[8] + 1 end
    call('HSET', LEASES, id, pack(lease))
    call('ZADD', TERMS, NOW + IN[2], id)
    leases[#leases + 1] = {id, lease[1], lease[3], lease[4], lease[5], lease[6], lease[8], lease[9], lease[10]}
  end
end
return pack(leases)

--@ renew
-- IN {term, {id...}}; key: this worker's leases -> ids that still are
local kept = {}
for _, id in ipairs(IN[2]) do
  if call('SISMEMBER', KEYS[11], id) == 1 then
    call('ZADD', TERMS, NOW + IN[1], id)
    kept[#kept + 1] = id
  end
end
return pack(kept)

--@ due
-- IN {id of the caller's own leases...} -> {first ready host or false, first end of another's term or false}
local own = {}
for _, id in ipairs(IN) do own[id] = true end
local ready = tonumber(call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2])
local terms, first = call('ZRANGE', TERMS, 0, -1, 'WITHSCORES'), nil
for place = 1, #terms, 2 do
  if not own[tonumber(terms[place])] then
    first = tonumber(terms[place + 1])
    break
  end
end
return pack({ready and ready - NOW or false, first and first - NOW or false})

--@ counts
local function number(field) return tonumber(call('HGET', STAND, field) or 0) end
local blocked = 0
for _, stored in ipairs(call('HVALS', BLOCKS)) do
  local until_ = unpack_(stored)[3]
  if until_ == -1 or until_ > NOW then blocked = blocked + 1 end
end
local waiting = call('ZCOUNT', READY, '-inf', '+inf') - call('ZCOUNT', READY, '-inf', NOW)
return pack({number('queued'), number('leased'), call('HLEN', HOSTS), number('seen'), waiting, number('over'),
  blocked, number('dead'), number('lost')})

--@ enter
-- IN {most, id, term}; key: leases open at an address -> 1 when this one is among them
call('ZREMRANGEBYSCORE', KEYS[11], '-inf', NOW)
if not call('ZSCORE', KEYS[11], IN[2]) and call('ZCARD', KEYS[11]) >= IN[1] then return 0 end
call('ZADD', KEYS[11], NOW + IN[3], IN[2])
call('PEXPIRE', KEYS[11], IN[3] / 1000 * 2)
return 1

--@ remember
-- IN expires; ARGV[4]: blob; key: the origin's
call('SET', KEYS[11], struct.pack('>d', NOW + IN) .. ARGV[4], 'PX', math.max(1, math.floor(IN / 1000)) + 60000)
return 1

--@ recall
-- key: the origin's -> {expires, blob}, or {}
local stored = call('GET', KEYS[11])
if not stored then return {} end
local expires = struct.unpack('>d', stored)
if expires <= NOW then return {} end
return {pack(expires - NOW), string.sub(stored, 9)}

--@ swap
-- IN {key, old or false, new}; key: facts -> 1 when it was `old`
local now = call('HGET', KEYS[11], IN[1])
if now ~= IN[2] and not (AGAIN and now == IN[3]) then return 0 end
call('HSET', KEYS[11], IN[1], IN[3])
return 1

--@ command
-- IN {"state" or "epoch", whether `old` counts, old or false, new} -> {done, version, state, epoch} for every shard
local now = call('HGET', CONTROL, IN[1])
local done = not IN[2] or now == IN[3] or (AGAIN and now == IN[4])
if done then
  call('HSET', CONTROL, IN[1], IN[4])
  call('HINCRBY', CONTROL, 'version', 1)
end
return pack({done, tonumber(call('HGET', CONTROL, 'version') or 0), call('HGET', CONTROL, 'state'),
  call('HGET', CONTROL, 'epoch')})

--@ obey
-- IN {version, state or false, epoch or false}: commands may overtake each other on their way
if IN[1] > tonumber(call('HGET', CONTROL, 'version') or 0) then
  call('HSET', CONTROL, 'version', IN[1])
  if IN[2] then call('HSET', CONTROL, 'state', IN[2]) end
  if IN[3] then call('HSET', CONTROL, 'epoch', IN[3]) end
end
return 1

--@ block
-- IN {authority, reason, since, until or false}; keys: queue, waiting
local host = host_of(IN[1])
host[BLOCKED] = IN[4] and NOW + IN[4] or -1
call('HSET', BLOCKS, IN[1], pack({IN[2], NOW + IN[3], host[BLOCKED]}))
keep_host(IN[1], host)
set_ready(IN[1], host, KEYS[11], KEYS[12])
return 1

--@ unblock
-- IN {authority}; keys: queue, waiting -> 1 when it was blocked
local stored = call('HGET', BLOCKS, IN[1])
if not stored then return AGAIN and 1 or 0 end
call('HDEL', BLOCKS, IN[1])
local until_, host = unpack_(stored)[3], host_of(IN[1])
if until_ ~= -1 and until_ <= NOW then return 0 end
host[BLOCKED] = 0
keep_host(IN[1], host)
set_ready(IN[1], host, KEYS[11], KEYS[12])
return 1

--@ blocks
-- -> {{authority, reason, since, until or false}...}
local found, stored = {}, call('HGETALL', BLOCKS)
for place = 1, #stored, 2 do
  local block = unpack_(stored[place + 1])
  if block[3] == -1 or block[3] > NOW then
    found[#found + 1] = {stored[place], block[1], block[2] - NOW, block[3] ~= -1 and block[3] - NOW}
  end
end
return pack(found)

--@ told
-- IN {worker, what it tells}; key: workers
call('HSET', KEYS[11], IN[1], pack({NOW, IN[2]}))
return 1

--@ workers
-- key: workers -> {{name, when heard of, what it told}...}
local found, stored = {}, call('HGETALL', KEYS[11])
for place = 1, #stored, 2 do
  local told = unpack_(stored[place + 1])
  found[#found + 1] = {stored[place], told[1] - NOW, told[2]}
end
return pack(found)

--@ found
-- IN {version, shards, buckets}; key: meta -> the same as the crawl was begun with
local stored = call('GET', KEYS[11])
if stored then return stored end
call('SET', KEYS[11], ARGV[3])
return ARGV[3]
