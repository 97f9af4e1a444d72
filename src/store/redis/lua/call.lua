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
--         text   sliding, concurrent: how long a state is kept, in milliseconds; ends with 0
-- Reply   -2^54 in place of all charges of a call to which nothing was done because its calendar does not reach
--         to now: its caller has learned the time from this reply and may ask again
--
-- O(charges × cells of a window), at most 51 cells a charge.

local ENFORCED, COUNTED = -1, -2
local TAKE, GIVE_BACK, SET, HOLD = 0, 1, 2, 3
local ADMITTED, NEVER, ASTRAY, HELD = -2, -1, -2 ^ 54, -2 ^ 55

-- By counter: its name; what Redis has; what it should have; by which terms to write that.
local names, loaded, stored, writers = KEYS, {}, {}, {}
local changed, astray = nil, false
-- Of the call in hand: its counters, their terms, and what came of them; places that it does not have are stale.
local keys, by, told = {}, {}, { 0, 0, 0, false }

local function read_terms(text)
  local kind, op, overrun, beside, binding, room, amount, most, p1, p2, p3, p4, expiry =
    unpack('<BBBBi4ddddddds', text)
  local fixed = room
  if op == HOLD then room = fixed + amount end
  return {
    kind = kind, op = op, overrun = overrun == 1, beside = beside == 1, binding = binding, room = room, amount = amount,
    fixed = fixed, most = most, expiry = expiry,
    width = p1, units = p1, length = p2, before = p1, start = p2, stop = p3, beyond = p4, forget = p1,
  }
end

-- Charges a counter, or only looks: with amount 0, unless it sets or holds. What comes of it is told from `at` on:
-- used, wait, reset, and held if holds may stand beside the counter.
local function charge(k, p, op, room, amount, overrun, at)
  local kind, s = p.kind, changed[k] or stored[k]
  if not s then
    s = load(kind, names[k])
    loaded[k], stored[k] = s, s
  end
  local a, b, c, d = advance(p, s[1], s[2], s[3], s[4])
  if not a then
    astray = true
    return ASTRAY
  end
  local h = p.beside and beside(k, names[k])
  local wait, units = ADMITTED, amount
  if op == GIVE_BACK then
    a, b, c, d = give_back(p, amount, a, b, c, d)
  elseif op == SET then
    units = spent(kind, a, b, c)
    a, b, c, d = advance(p, give_back(p, units, a, b, c, d))
    units = max(units, amount)
    if amount > 0 then a, b, c, d = add(p, amount, a, b, c, d) end
  else
    local used = spent(kind, a, b, c)
    if room > p.most - used - (h and h.held or 0) then
      wait = NEVER
      if room <= p.most then
        local excess = used - (p.most - room)
        if h then
          wait = freed_beside(h, p, excess, used, a, b, c) or NEVER
        else
          wait = freed_after(p, excess, a, b, c) or NEVER
        end
      end
    end
    if op == HOLD then
      units = 0
      if h and (wait == ADMITTED or overrun) then put(h, room, p.till) end
    elseif wait == ADMITTED or overrun then
      a, b, c, d = add(p, amount, a, b, c, d)
    end
  end
  if units > 0 and (wait == ADMITTED or overrun) then changed[k] = { a, b, c, d, p } end
  told[at], told[at + 1] = spent(kind, a, b, c), wait
  told[at + 2] = kind ~= TOTAL and idle_after(p, a, b, c) or -1
  told[at + 3] = h and h.held
  return wait
end

-- What a charge would come to, with nothing changed.
local function look(k, p, at)
  local asks = p.op == TAKE or p.op == HOLD
  return charge(k, p, asks and TAKE or GIVE_BACK, p.room, 0, false, at)
end

-- Makes all charges of a call or none. Whether it is refused.
local function all_or_none(count)
  local refused, passing, over, any_over = false, nil, nil, false
  for i = 1, count do
    local p = by[i]
    local wait = charge(keys[i], p, p.op, p.room, p.amount, p.overrun, i * 4 - 3)
    if p.binding == ENFORCED then
      refused = refused or wait ~= ADMITTED
    elseif p.binding ~= COUNTED then
      passing, over = passing or {}, over or {}
      if wait == ADMITTED then
        passing[p.binding] = true
      else
        over[p.binding], any_over = true, true
      end
    end
  end
  -- Quotas refuse if none of their groups is without one that is over.
  local quotas_over = any_over
  for group in pairs(passing or {}) do quotas_over = quotas_over and over[group] end
  if not refused and not quotas_over then return false end
  changed = {}
  take_back()
  -- The verdicts stand: charges of one counter may find no room only together.
  for i = 1, count do
    local wait = told[i * 4 - 2]
    look(keys[i], by[i], i * 4 - 3)
    told[i * 4 - 2] = wait
  end
  return true
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

-- Has Redis have what a call changed, once it is known that it stands.
local function keep_changes()
  for k, s in pairs(changed) do stored[k], writers[k] = s, s[5] end
end

local function write_counters()
  for k, p in pairs(writers) do
    local s = stored[k]
    save(p, names[k], loaded[k], s[1], s[2], s[3], s[4])
  end
end
