-- Open holds beside a counter: the twin of src/algorithm/holds.rs.
--
-- In Redis, beside the string of a counter, while something is held or has lapsed unseen:
--
--   <counter>:h   the front: held d, an instant at which none has lapsed yet if it is to come d, the instant up to which
--                 both are kept d, number of holds d
--   <counter>:o   the holds: a sorted set by the microsecond at which each lapses; of each its name, 16 bytes, amount d
--
-- The front alone tells what a plain charge has to know. The holds expire a second before it does, so a new front never
-- finds old holds; a front without holds is found out when it is due.

local huge, format = math.huge, string.format

-- How many holds are looked at to tell when there is room.
local LOOKED_AT = 128
-- How many holds are let go at once: nobody else is served meanwhile.
local LET_GO_AT_ONCE = 512
-- Milliseconds that a front outlives its holds.
local OUTLIVES = 1000

-- By counter.
local besides = {}

-- A whole number as text, of any size.
local function whole(number) return format('%.0f', number) end

local function save_front(h)
  if h.count == 0 then return call('DEL', h.front) end
  return call('SETRANGE', h.front, '0', pack('<dddd', h.held, h.first, h.kept, h.count))
end

-- Lets go of what has lapsed. What is left of very much is held until the next call.
local function let_lapse(h)
  local lapsed = call('ZRANGEBYSCORE', h.open, '-inf', whole(now), 'LIMIT', 0, LET_GO_AT_ONCE)
  for _, hold in ipairs(lapsed) do
    h.held, h.count = h.held - unpack('<d', hold, 17), h.count - 1
  end
  if #lapsed > 0 then call('ZREMRANGEBYRANK', h.open, 0, #lapsed - 1) end
  local first = call('ZRANGE', h.open, 0, 0, 'WITHSCORES')[2]
  if first then
    h.first = tonumber(first)
  else
    h.held, h.first, h.count = 0, huge, 0
  end
  save_front(h)
end

-- What is held beside a counter now.
local function beside(k, name)
  local h = besides[k]
  if h then
    if h.put and now >= h.till then h.held, h.put = h.held - h.put, nil end
    return h
  end
  h = { front = name .. ':h', open = name .. ':o', held = 0, first = huge, kept = 0, count = 0 }
  besides[k] = h
  local front = call('GET', h.front)
  if not front then return h end
  h.held, h.first, h.kept, h.count = unpack('<dddd', front)
  if now >= h.first then let_lapse(h) end
  return h
end

-- Holds an amount until then, up to the most that anything counts, once all is written. One hold a counter.
local function put(h, amount, till)
  amount = min(amount, MOST - h.held)
  h.held, h.put, h.till = h.held + amount, (h.put or 0) + amount, till
end

-- As if nothing had been put.
local function take_back()
  for _, h in pairs(besides) do
    if h.put then h.held, h.put = h.held - h.put, nil end
  end
end

-- Ends a hold of this name and amount. Whether it was open.
local function end_hold(h, name, amount)
  if h.count == 0 or call('ZREM', h.open, name .. pack('<d', amount)) == 0 then return false end
  h.held, h.count, h.ended = h.held - amount, h.count - 1, true
  return true
end

-- The first holds, in the order in which they lapse: instant, amount.
local function first_holds(h)
  local holds, put = {}, h.put
  local open = h.count > 0 and call('ZRANGE', h.open, 0, LOOKED_AT - 1, 'WITHSCORES') or {}
  for at = 1, #open, 2 do
    local till = tonumber(open[at + 1])
    if put and h.till <= till then
      holds[#holds + 1], put = { h.till, put }, nil
    end
    holds[#holds + 1] = { till, unpack('<d', open[at], 17) }
  end
  if put then holds[#holds + 1] = { h.till, put } end
  return holds
end

-- Until there is room for `excess` units more beside what is held, if holds lapse one after the other and the counter
-- forgets the rest; nothing if waiting does not help.
local function freed_beside(h, p, excess, used, a, b, c)
  local function forgets(units) return units <= used and freed_after(p, units, a, b, c) or huge end
  local best, lapsed, lapse = forgets(excess + h.held), 0, huge
  local holds = first_holds(h)
  for at = 1, min(#holds, LOOKED_AT) do
    lapse = max(holds[at][1] - now, 0)
    if lapse >= best then return best end
    lapsed = lapsed + holds[at][2]
    local rest = excess + (h.held - lapsed)
    best = min(best, rest > 0 and max(lapse, forgets(rest)) or lapse)
  end
  -- Whoever would have to wait for more is told when these have lapsed.
  if h.count + (h.put and 1 or 0) > LOOKED_AT then best = min(best, lapse) end
  return best < huge and best or nil
end

-- Writes what was put and ended under this name. Both keys are kept for twice the life of a hold that they would not
-- outlive, so that not every hold has to prolong them.
local function write_holds(name)
  for _, h in pairs(besides) do
    -- A set that was empty is a new one, which nothing lets expire.
    if h.count == 0 then h.kept = 0 end
    if h.put then
      call('ZADD', h.open, whole(h.till), name .. pack('<d', h.put))
      h.first, h.count = min(h.first, h.till), h.count + 1
    end
    if h.put and h.till > h.kept then
      h.kept = h.till + max(h.till - now, 0)
      local kept = ceil(max(h.kept - now, 0) / 1000) + grace
      call('PEXPIRE', h.open, whole(kept))
      call('PSETEX', h.front, whole(kept + OUTLIVES), pack('<dddd', h.held, h.first, h.kept, h.count))
    elseif h.put or h.ended then
      save_front(h)
    end
  end
end
