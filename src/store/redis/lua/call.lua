-- What a call does to counters, decided before anything of it is written: the twin of the step of
-- src/store/memory/step.rs.
--
-- Within a call everything is decided first; a refused call changes nothing, and neither does a peek. Only what has
-- lapsed is let go at once.
--
-- Terms, which charges share:
--         B B B B  kind; op; 1 if what finds no room is counted all the same; 1 if holds may stand beside the counter
--         i4     binding: -1 enforced, -2 counted; else the group of quotas
--         d d    room asked for; amount to add, to give back or to set; of a hold, what is fixed and what is flexible
--         d      the most that may be used and held at once; infinite if unlimited
--         d × 4  sliding, concurrent: width of a cell; bucket: units that leak, and in which span; fixed: length;
--                calendar: starts of the period before, of the one that the caller believes to be current, of
--                the next and of the one after; total: the span after which it forgets, infinite for never
--         text   sliding, concurrent: how long a state is kept, in milliseconds; fixed, calendar: how long a period usually
--                is, in microseconds, if debt is carried, else nothing; ends with 0
-- Reply   -2^54 in place of all charges of a call to which nothing was done because its calendar does not reach
--         to now: its caller has learned the time from this reply and may ask again
--
-- O(charges × cells of a window), at most 51 cells a charge.

local ENFORCED, COUNTED = -1, -2
local TAKE, GIVE_BACK, SET, HOLD, SPEND, CLEAR = 0, 1, 2, 3, 4, 5
local ADMITTED, NEVER, ASTRAY, HELD = -2, -1, -2 ^ 54, -2 ^ 55

-- By counter: its name; what Redis has; what it should have; by which terms to write that.
local names, loaded, stored, writers = KEYS, {}, {}, {}
local changed, astray = nil, false
-- Of the call in hand: its counters, their terms, and what came of them; places that it does not have are stale.
local keys, by, told = {}, {}, { 0, 0, 0, false }

local function read_terms(text, at)
  -- A table made whole is made once; one that is filled is made anew as it grows.
  local p = { 0, 0, 0, unpack('<BBBBi4ddddddds', text, at or 1) }
  local room = p[ROOM]
  p[OVERRUN], p[BESIDE], p[FIXED_ROOM] = p[OVERRUN] == 1, p[BESIDE] == 1, room
  if p[OP] == HOLD then p[ROOM] = room + p[AMOUNT] end
  return p
end

-- Charges a counter, or only looks: with amount 0, unless it sets, clears or holds. What comes of it is told from `at` on:
-- used, wait, reset, and held if holds may stand beside the counter. What is spent is charged before it is asked for room.
local function charge(k, p, op, room, amount, overrun, at)
  local kind, s = p[KIND], changed[k] or stored[k]
  if not s then
    s = load(kind, names[k])
    loaded[k], stored[k] = s, s
  end
  local a, b, c, d = advance(p, s[1], s[2], s[3], s[4])
  if not a then
    astray = true
    return ASTRAY
  end
  local h = p[BESIDE] and beside(k, names[k])
  local held = h and h[IN_ALL]
  local wait, units, used = ADMITTED, amount, nil
  if op == GIVE_BACK then
    a, b, c, d = give_back(p, amount, a, b, c, d)
  elseif op == SET or op == CLEAR then
    if op == CLEAR and h then
      end_all(h)
      held = 0
    elseif kind == CONCURRENT then
      -- Slots that have names are there too, and end by themselves.
      amount = max(amount - (held or 0), 0)
    end
    units = spent(kind, a, b, c)
    a, b, c, d = advance(p, give_back(p, units, a, b, c, d))
    units = max(units, amount)
    if amount > 0 then a, b, c, d = add(p, amount, a, b, c, d) end
  else
    if op == SPEND then a, b, c, d = add(p, amount, a, b, c, d) end
    used = spent(kind, a, b, c)
    if room > p[AT_MOST] - used - (held or 0) then
      wait = NEVER
      if room <= p[AT_MOST] then
        wait = freed(h, p, used - (p[AT_MOST] - room), used, a, b, c, d) or NEVER
      end
    end
    if op == HOLD then
      units = 0
      if h and (wait == ADMITTED or overrun) then
        put(h, room, p[TILL])
        held = h[IN_ALL]
      end
    elseif op == TAKE and amount > 0 and (wait == ADMITTED or overrun) then
      a, b, c, d = add(p, amount, a, b, c, d)
      used = nil
    end
  end
  if units > 0 and kind ~= REQUEST and (wait == ADMITTED or overrun) then changed[k] = { a, b, c, d, p } end
  told[at], told[at + 1] = used or spent(kind, a, b, c), wait
  told[at + 2] = kind ~= TOTAL and idle_after(p, a, b, c, d) or -1
  told[at + 3] = held
  return wait
end

-- Says what came of so many charges.
local function tell(count)
  for at = 1, count * 4, 4 do
    local wait, held = told[at + 1], told[at + 3]
    if held then
      reply[replied + 1], reply[replied + 2] = HELD, held
      replied = replied + 2
    end
    replied = replied + 2
    if wait == ADMITTED then
      reply[replied - 1] = told[at]
    else
      reply[replied - 1], reply[replied] = -1 - told[at], wait
      replied = replied + 1
    end
    reply[replied] = told[at + 2]
  end
end

local function write_counters()
  for k, p in pairs(writers) do
    local s = stored[k]
    save(p, names[k], loaded[k], s[1], s[2], s[3], s[4])
  end
end
