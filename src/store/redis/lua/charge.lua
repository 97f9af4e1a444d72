-- All that is in no run and no step, and each call of it by its rules: the twin of the step of
-- src/store/memory/step.rs.
--
-- Calls are decided one after the other, and each sees what those before it did. Within a call everything is
-- decided first; a refused call changes nothing, and neither does a peek. All is written at the end.
--
-- ARGV    terms, which charges share, one argument each:
--         B B B  kind; op; 1 if what finds no room is counted all the same
--         i4     binding: -1 enforced, -2 counted; else the group of quotas
--         d d    room asked for; amount to add, to give back or to set
--         d      the most that may be used and held at once; infinite if unlimited
--         d × 4  sliding, concurrent: width of a cell; bucket: units that leak, and in which span; fixed: length;
--                calendar: starts of the period before, of the one that the caller believes to be current, of
--                the next and of the one after; total: the span after which it forgets, infinite for never
--         text   sliding, concurrent: how long a state is kept, in milliseconds; ends with 0
--         and last all calls: B I2  admission, number of charges; then for each charge
--         I2 I2  counter, terms: which of those that are not of a run, counted from 1
-- Reply   -2^54 in place of all charges of a call to which nothing was done because its calendar does not reach
--         to now: its caller has learned the time from this reply and may ask again
--
-- O(charges × cells of a window), at most 51 cells a charge.

local ENFORCED, COUNTED = -1, -2
local ALL_OR_NONE, EACH_UNLESS_OVER = 0, 2
local TAKE, GIVE_BACK, SET = 0, 1, 2
local ADMITTED, NEVER, ASTRAY = -2, -1, -2 ^ 54

-- By counter: what Redis has; what it should have; by which terms to write that.
local loaded, stored, writers = {}, {}, {}
local terms, changed, astray = {}, nil, false
-- Of the call in hand: its counters, their terms, and what came of them; places that it does not have are stale.
local keys, by, told = {}, {}, {}

local function terms_at(index)
  local p = terms[index]
  if not p then
    local kind, op, overrun, binding, room, amount, most, p1, p2, p3, p4, expiry =
      unpack('<BBBi4ddddddds', ARGV[runs + 1 + index])
    p = {
      kind = kind, op = op, overrun = overrun == 1, binding = binding, room = room, amount = amount, most = most,
      expiry = expiry,
      width = p1, units = p1, length = p2, before = p1, start = p2, stop = p3, beyond = p4, forget = p1,
    }
    terms[index] = p
  end
  return p
end

-- Charges a counter, or only looks: with amount 0, unless it sets. What comes of it is told from `at` on: used, wait,
-- reset.
local function charge(k, p, op, room, amount, overrun, at)
  local kind, s = p.kind, changed[k] or stored[k]
  if not s then
    s = load(kind, KEYS[k])
    loaded[k], stored[k] = s, s
  end
  local a, b, c, d = advance(p, s[1], s[2], s[3], s[4])
  if not a then
    astray = true
    return ASTRAY
  end
  local wait, units = ADMITTED, amount
  if op == GIVE_BACK then
    a, b, c, d = give_back(p, amount, a, b, c, d)
  elseif op == SET then
    units = spent(kind, a, b, c)
    a, b, c, d = advance(p, give_back(p, units, a, b, c, d))
    units = max(units, amount)
    if amount > 0 then a, b, c, d = add(p, amount, a, b, c, d) end
  else
    local before = spent(kind, a, b, c)
    if room > p.most - before then
      wait = NEVER
      if room <= p.most then wait = freed_after(p, before - (p.most - room), a, b, c) or NEVER end
    end
    if wait == ADMITTED or overrun then a, b, c, d = add(p, amount, a, b, c, d) end
  end
  if units > 0 and (wait == ADMITTED or overrun) then changed[k] = { a, b, c, d, p } end
  told[at], told[at + 1] = spent(kind, a, b, c), wait
  told[at + 2] = kind ~= TOTAL and idle_after(p, a, b, c) or -1
  return wait
end

-- What a charge would come to, with nothing changed.
local function look(k, p, at) return charge(k, p, p.op == TAKE and TAKE or GIVE_BACK, p.room, 0, false, at) end

local function all_or_none(count)
  local refused, passing, over, any_over = false, nil, nil, false
  for i = 1, count do
    local p = by[i]
    local wait = charge(keys[i], p, p.op, p.room, p.amount, p.overrun, i * 3 - 2)
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
  if refused or quotas_over then
    changed = {}
    -- The verdicts stand: charges of one counter may find no room only together.
    for i = 1, count do
      local wait = told[i * 3 - 1]
      look(keys[i], by[i], i * 3 - 2)
      told[i * 3 - 1] = wait
    end
  end
end

local function each(count, unless_over)
  local over, any = {}, false
  if unless_over then
    for i = 1, count do
      over[i] = look(keys[i], by[i], i * 3 - 2) ~= ADMITTED
      any = any or over[i]
    end
  end
  for i = 1, count do
    local k, p, at = keys[i], by[i], i * 3 - 2
    if any and not over[i] and p.op == TAKE then
      charge(k, p, TAKE, 0, 0, false, at)
    else
      charge(k, p, p.op, p.room, p.amount, p.overrun, at)
    end
  end
end

-- A call of one charge: every group of quotas is its own, and nothing has to be taken back.
local function alone(admission, k, p)
  -- A quota refuses by itself here, where no other could pass.
  local overrun = p.overrun and (admission ~= ALL_OR_NONE or p.binding < 0)
  local before = stored[k]
  changed = stored
  charge(k, p, p.op, p.room, p.amount, overrun, 1)
  if stored[k] ~= (before or loaded[k]) then writers[k] = p end
end

local function tell(count)
  for at = 1, count * 3, 3 do
    local wait = told[at + 1]
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

while call_at <= #calls do
  local admission, count
  admission, count, call_at = unpack('<BI2', calls, call_at)
  for i = 1, count do
    local k, term
    k, term, call_at = unpack('<I2I2', calls, call_at)
    keys[i], by[i] = key_at + k, terms_at(term)
  end
  astray = false
  if count == 1 then
    alone(admission, keys[1], by[1])
  else
    changed = {}
    if admission == ALL_OR_NONE then
      all_or_none(count)
    else
      each(count, admission == EACH_UNLESS_OVER)
    end
  end
  if astray then
    replied = replied + 1
    reply[replied] = ASTRAY
  else
    if count > 1 then
      for k, s in pairs(changed) do stored[k], writers[k] = s, s[5] end
    end
    tell(count)
  end
end
for k, p in pairs(writers) do
  local s = stored[k]
  save(p, KEYS[k], loaded[k], s[1], s[2], s[3], s[4])
end
return packed(reply, 1, replied)
