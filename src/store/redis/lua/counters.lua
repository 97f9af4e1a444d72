-- The arithmetic of counters: the twin of src/algorithm, operation by operation, on the same doubles.
--
-- A state is up to four values. They are never changed in place, so a state that is not kept costs nothing:
--
--   kind                 a                        b            c           d               in Redis
--   sliding, concurrent  see cells.lua            total                                    see sliding.lua
--   bucket               level                    as of        leaked                      d d: without what leaked
--   fixed, calendar      start of its period      its end      used        pays            d d d; d where debt is carried
--   total                used                     last touched                             d d
--   request                                                                                nothing

local floor, ceil, abs = math.floor, math.ceil, math.abs

-- Of the terms that charges share, which call.lua reads: what is found out of them, and what they say.
local TILL, ENDS, FIXED_ROOM = 1, 2, 3
local KIND, OP, OVERRUN, BESIDE, BINDING, ROOM, AMOUNT, AT_MOST = 4, 5, 6, 7, 8, 9, 10, 11
local WIDTH, UNITS, BEFORE, FORGET, LENGTH, START, STOP, BEYOND, EXPIRY = 12, 12, 12, 12, 13, 13, 14, 15, 16

local SLIDING, CONCURRENT, BUCKET, FIXED, CALENDAR, TOTAL, REQUEST = 1, 2, 3, 4, 5, 6, 7

-- The products that are exact, and by how much others are shaded; the span from which on a bucket leaks for ever.
local EXACT, SHADE, ENDLESS = 9007199254740992, 2 ^ -50, 4503599627370496
-- How long Redis keeps what never comes to rest by itself and is no capacity: a blocked bucket. 400 days.
local ABANDONED = 34560000000000

local function load(kind, key)
  if kind == REQUEST then return { 0, 0, 0 } end
  if kind <= CONCURRENT then return { load_cells(key) } end
  local raw = call('GET', key)
  if not raw then return { 0, 0, 0, 0 } end
  if kind == FIXED or kind == CALENDAR then
    local a, b, c = unpack('<ddd', raw)
    return { a, b, c, #raw > 24 and unpack('<d', raw, 25) or 0 }
  end
  return { unpack('<dd', raw) }
end

-- The period that holds now, or nothing if the caller's clock is too far off to have sent it.
local function period(p, start, stop)
  if p[KIND] == FIXED then
    local at = max(now, start)
    start = floor(at / p[WIDTH]) * p[WIDTH]
    return start, start + p[WIDTH]
  end
  if now < stop then return start, stop end
  if now < p[BEFORE] or now >= p[BEYOND] then return nil end
  if now < p[START] then return p[BEFORE], p[START] end
  if now < p[STOP] then return p[START], p[STOP] end
  return p[STOP], p[BEYOND]
end

-- How many units of a bucket leak in a span, rounded down.
local function leaked(p, span)
  local product = span * p[UNITS]
  return floor(product / p[LENGTH] * (product < EXACT and 1 or 1 - SHADE))
end

-- How long so many units take to leak, rounded up; infinite if nothing leaks.
local function span_of(p, units)
  local product = units * p[LENGTH]
  return ceil(product / p[UNITS] * (product < EXACT and 1 or 1 + SHADE))
end

-- The state as it is now; nothing if its period is not known.
local function advance(p, a, b, c, d)
  local kind = p[KIND]
  if kind <= CONCURRENT then
    return forget(p[WIDTH], a, b, c, d)
  elseif kind == BUCKET then
    c = now > b and min(leaked(p, now - b), a) or 0
  elseif kind == FIXED or kind == CALENDAR then
    local start, stop = period(p, a, b)
    if not start then return nil end
    if start > a then
      -- Each period pays as much, if debt is carried: boundaries are never half a period from where they usually are.
      if d > 0 and p[EXPIRY] ~= '' then
        local usual = tonumber(p[EXPIRY])
        c = max(c - d * (1 + floor((start - b + usual / 2) / usual)), 0)
      else
        c = 0
      end
      -- Below zero until it is charged: it pays what the one before did.
      d = -d
    end
    a, b = start, stop
  elseif kind == TOTAL then
    if a == 0 or now >= b + p[FORGET] then a, b = 0, 0 end
  end
  return a, b, c, d
end

local function spent(kind, a, b, c)
  if kind <= CONCURRENT then return b end
  if kind == FIXED or kind == CALENDAR then return c end
  if kind == BUCKET then return a - c end
  return a
end

-- What a period pays that is charged once more: the largest number that it was charged by; 0 if nothing is owed.
local function pays(p, d)
  return p[EXPIRY] ~= '' and max(d, min(p[AT_MOST], MOST)) or 0
end

-- How many periods more than this one it takes to pay so many units.
local function more_periods(p, units, d)
  local paid = abs(d)
  return paid > 0 and units > paid and p[EXPIRY] ~= '' and ceil(units / paid) - 1 or 0
end

-- Makes the level of a bucket that of the instant by which it had leaked to it.
local function settle(p, a, b, c)
  if c == a then return 0, max(b, now), 0 end
  if c > 0 then return a - c, min(b + span_of(p, c), now), 0 end
  return a, b, 0
end

local function add(p, amount, a, b, c, d)
  local kind = p[KIND]
  if kind <= CONCURRENT then
    return add_to_cells(p[WIDTH], amount, a, b, c, d)
  elseif kind == BUCKET then
    if amount > 0 then
      a, b, c = settle(p, a, b, c)
      a = min(a + amount, MOST)
    end
  elseif kind == TOTAL then
    if amount > 0 then a, b = min(a + amount, MOST), max(b, now) end
  elseif kind ~= REQUEST and amount > 0 then
    c = min(c + amount, MOST)
    d = pays(p, d)
  end
  return a, b, c, d
end

local function give_back(p, units, a, b, c, d)
  local kind = p[KIND]
  if kind <= CONCURRENT then
    while units > 0 and a ~= '' do
      local oldest, count = unpack('<BI7', a)
      local taken = min(units, count)
      units, b, a = units - taken, b - taken, sub(a, CELL + 1)
      if taken < count then a = pack('<BI7', oldest, count - taken) .. a end
    end
    local taken = min(units, d)
    b, d = b - taken, d - taken
  elseif kind == BUCKET then
    if units > 0 then
      a, b, c = settle(p, a, b, c)
      a = max(a - units, 0)
    end
  elseif kind == TOTAL then
    if units > 0 then a, b = max(a - units, 0), max(b, now) end
  elseif kind ~= REQUEST and units > 0 then
    c = max(c - units, 0)
    d = pays(p, d)
  end
  return a, b, c, d
end

-- The first instant by which so many units of a bucket have leaked; nothing if they never do, or not in a
-- lifetime.
local function leaked_at(p, units, since)
  if units == 0 then return since end
  local span = span_of(p, units)
  if span >= ENDLESS then return nil end
  while leaked(p, span) < units do span = span + max(floor(span * SHADE * 2), 1) end
  return since + span
end

-- Until the state is as good as fresh, as if all periods were as long as they usually are; nothing if it never is by itself.
local function idle_after(p, a, b, c, d)
  local kind = p[KIND]
  if kind <= CONCURRENT then return b > 0 and forgotten_after(p[WIDTH], c) or 0 end
  if kind == BUCKET then
    local at = leaked_at(p, a, b)
    return at and max(at - now, 0)
  end
  if kind == TOTAL then
    if a == 0 then return 0 end
    if p[FORGET] == math.huge then return nil end
    return max(b + p[FORGET] - now, 0)
  end
  if kind == REQUEST then return 0 end
  local more = more_periods(p, c, d)
  if more > 0 then more = more * tonumber(p[EXPIRY]) end
  return more < ENDLESS and max(b - now, 0) + more or nil
end

-- Writes a state and its expiry in one command, and only what changed of a state whose expiry stands. What
-- holds nothing is deleted; only a capacity that nobody told to forget has no expiry.
local function save(p, key, was, a, b, c, d)
  local kind, value = p[KIND], nil
  if kind == REQUEST then return end
  if kind <= CONCURRENT then
    if b == 0 then return call('DEL', key) end
    return save_cells(key, p[EXPIRY], was[2] > 0 and was[3] == c and was[1] == a, a, b, c, d)
  elseif kind == FIXED or kind == CALENDAR then
    local more = more_periods(p, c, d)
    if more > 0 then
      -- Kept until it is paid, or a little longer.
      local paid = min((more + 1) * tonumber(p[EXPIRY]), ENDLESS)
      return call('PSETEX', key, ceil((max(b - now, 0) + paid) / 1000) + grace, pack('<dddd', a, b, c, d))
    end
    local used = d > 0 and pack('<dd', c, d) or pack('<d', c)
    local stands = was[1] == a and was[2] == b and more_periods(p, was[3], was[4]) == 0
    if stands and (d > 0 or was[4] == 0) then return call('SETRANGE', key, '16', used) end
    value = pack('<dd', a, b) .. used
  elseif kind == TOTAL and a == 0 then
    return call('DEL', key)
  else
    value = pack('<dd', a, b)
  end
  local after = idle_after(p, a, b, c, d)
  if not after and kind == TOTAL then return call('SET', key, value) end
  return call('PSETEX', key, ceil((after or ABANDONED) / 1000) + grace, value)
end
