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

local huge = math.huge

-- How many holds are looked at to tell when there is room.
local LOOKED_AT = 128
-- How many holds are let go at once: nobody else is served meanwhile.
local LET_GO_AT_ONCE = 512
-- Milliseconds that a front outlives its holds.
local OUTLIVES = 1000

-- What is known beside a counter: the front, and its name; the name of the set; what is put beside it now, until when, and which
-- other hold is ended, as the set has it.
local IN_ALL, FIRST, KEPT, COUNT, FRONT_KEY, OPEN_KEY, PUT, PUT_TILL, ENDED = 1, 2, 3, 4, 5, 6, 7, 8, 9

-- By counter.
local besides = {}

local function save_front(h)
  if h[COUNT] == 0 then return call('DEL', h[FRONT_KEY], h[OPEN_KEY]) end
  return call('SETRANGE', h[FRONT_KEY], '0', pack('<dddd', h[IN_ALL], h[FIRST], h[KEPT], h[COUNT]))
end

-- What is held beside a counter now. What is left of very much that has lapsed is held until the next call.
local function beside(k, name)
  local h = besides[k]
  if h then
    if h[PUT] and now >= h[PUT_TILL] then h[IN_ALL], h[PUT] = h[IN_ALL] - h[PUT], false end
    return h
  end
  h = { 0, huge, 0, 0, name .. ':h', name .. ':o', false, 0, false }
  local front = call('GET', h[FRONT_KEY])
  besides[k] = h
  if not front then return h end
  h[IN_ALL], h[FIRST], h[KEPT], h[COUNT] = unpack('<dddd', front)
  if now < h[FIRST] then return h end
  local open = h[OPEN_KEY]
  local lapsed = call('ZRANGEBYSCORE', open, '-inf', now, 'LIMIT', 0, LET_GO_AT_ONCE)
  for _, hold in ipairs(lapsed) do
    h[IN_ALL], h[COUNT] = h[IN_ALL] - unpack('<d', hold, 17), h[COUNT] - 1
  end
  if #lapsed > 0 then call('ZREMRANGEBYRANK', open, 0, #lapsed - 1) end
  local first = call('ZRANGE', open, 0, 0, 'WITHSCORES')[2]
  if first then
    h[FIRST] = tonumber(first)
  else
    h[IN_ALL], h[FIRST], h[COUNT] = 0, huge, 0
  end
  save_front(h)
  return h
end

-- Holds an amount until then, up to the most that anything counts, once all is written. One hold a counter.
local function put(h, amount, till)
  amount = min(amount, MOST - h[IN_ALL])
  h[IN_ALL], h[PUT], h[PUT_TILL] = h[IN_ALL] + amount, (h[PUT] or 0) + amount, till
end

-- Ends all holds, at once: whoever asks for that is never refused.
local function end_all(h)
  if h[COUNT] > 0 then call('DEL', h[FRONT_KEY], h[OPEN_KEY]) end
  h[IN_ALL], h[FIRST], h[KEPT], h[COUNT], h[PUT] = 0, huge, 0, 0, false
end

-- Until there is room for `excess` units more; nothing if waiting does not help. Beside holds, if those lapse one after
-- the other and the counter forgets the rest.
local function freed(h, p, excess, used, a, b, c, d)
  -- Until so many units of the state will have been forgotten; infinite if waiting does not help.
  local function forgets(units)
    local kind = p[KIND]
    if kind <= CONCURRENT then return freed_from_cells(p[WIDTH], units, a, b, c) end
    if kind == BUCKET then
      local at = leaked_at(p, c + units, b)
      return at and max(at - now, 0) or huge
    end
    if kind == FIXED or kind == CALENDAR then
      -- Beyond the end of a period that is told by the usual length of periods.
      local more = more_periods(p, units, d)
      if more > 0 then more = more * tonumber(p[EXPIRY]) end
      return more < ENDLESS and max(b - now, 0) + more or huge
    end
    return huge
  end

  local all = excess + (h and h[IN_ALL] or 0)
  local best = all <= used and forgets(all) or huge
  if h then
    -- The first holds, in the order in which they lapse: instant, amount.
    local holds, put = {}, h[PUT]
    local ended = h[ENDED]
    local last = ended and LOOKED_AT or LOOKED_AT - 1
    local open = h[COUNT] > 0 and call('ZRANGE', h[OPEN_KEY], 0, last, 'WITHSCORES') or {}
    for at = 1, #open, 2 do
      if open[at] ~= ended then
        local till = tonumber(open[at + 1])
        if put and h[PUT_TILL] <= till then
          holds[#holds + 1], put = { h[PUT_TILL], put }, false
        end
        holds[#holds + 1] = { till, unpack('<d', open[at], 17) }
      end
    end
    if put then holds[#holds + 1] = { h[PUT_TILL], put } end
    local lapsed, lapse = 0, huge
    for at = 1, min(#holds, LOOKED_AT) do
      lapse = max(holds[at][1] - now, 0)
      if lapse >= best then return best end
      lapsed = lapsed + holds[at][2]
      local rest = excess + (h[IN_ALL] - lapsed)
      if rest <= 0 then
        best = min(best, lapse)
      elseif rest <= used then
        best = min(best, max(lapse, forgets(rest)))
      end
    end
    -- Whoever would have to wait for more is told when these have lapsed.
    if h[COUNT] + (h[PUT] and 1 or 0) > LOOKED_AT then best = min(best, lapse) end
  end
  return best < huge and best or nil
end
