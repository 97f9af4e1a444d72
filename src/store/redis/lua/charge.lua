-- Charges counters, all of a call at once: the twin of the step of src/store/memory.rs.
--
-- Several calls may travel together. Each is decided on its own, in order, and sees what those before it
-- did. Within a call everything is decided first and written after; a refused call writes nothing, and so
-- does a peek.
--
-- KEYS    one per charge, over all calls, in order
-- ARGV    [1]  d d d the time to go by instead of TIME, or 0; milliseconds that Redis keeps a state beyond
--                    the instant from which it is as good as fresh; the instant after which nothing is done,
--                    infinite for none
--         [2…] one per call: B I2  admission, number of charges; then for each charge
--              B B    kind, op
--              i4     binding: -1 enforced, -2 counted; else the group of quotas
--              d d    room asked for; amount to add or give back
--              d      the most that may be used and held at once; infinite if unlimited
--              d × 4  sliding, concurrent: width of a cell; bucket: units that leak, and in which span; fixed: length; calendar: starts of the period before, of the one that the caller
--                     believes to be current, of the next and of the one after; total: the span after which
--                     it forgets, infinite for never
-- Reply   now, then for each charge: used, held, wait, reset
--         wait   -2 admitted; -1 refused for ever; else refused for so many microseconds. -3 for all charges
--                of a call to which nothing was done because it is too late, or because its calendar does
--                not reach to now: its caller has learned the time from this reply and may ask again
--         reset  microseconds until the counter is whole; -1 if time alone never brings it there
--
-- O(charges × cells of a window), at most 51 cells a charge. One GET for each counter, one write for each
-- that changed, one TIME.

local ENFORCED, COUNTED = -1, -2
local ALL_OR_NONE, EACH_UNLESS_OVER = 0, 2
local TAKE, GIVE_BACK = 0, 1
local ADMITTED, NEVER, ASTRAY = -2, -1, -3
-- Bytes of a call's head and of a charge.
local HEAD, RECORD = 3, 62

local stored, changed, reply, astray = {}, nil, nil, false

local function charge(p, amount, overrun)
  local key = p.key
  local s = changed[key] or stored[key]
  if not s then
    s = load(p.kind, key)
    stored[key] = s
  end
  local a, b, c = advance(p, s[1], s[2], s[3])
  if not a then
    astray = true
    return ASTRAY
  end
  local wait = ADMITTED
  if p.op == GIVE_BACK then
    a, b, c = give_back(p, amount, a, b, c)
  else
    local before = spent(p.kind, a, b, c)
    if p.room > p.most - before then
      wait = NEVER
      if p.room <= p.most then wait = freed_after(p, before - (p.most - p.room), a, b, c) or NEVER end
    end
    if wait == ADMITTED or overrun then a, b, c = add(p, amount, a, b, c) end
  end
  if amount > 0 and (wait == ADMITTED or overrun) then changed[key] = { a, b, c, p } end
  local total, at = spent(p.kind, a, b, c), p.reply
  if p.kind == CONCURRENT then
    reply[at], reply[at + 1] = 0, total
  else
    reply[at], reply[at + 1] = total, 0
  end
  reply[at + 2], reply[at + 3] = wait, p.kind ~= TOTAL and idle_after(p, a, b, c) or -1
  return wait
end

-- What a charge would come to, with nothing changed.
local function look(p) return charge(p, 0, false) end

local function all_or_none(charges)
  local waits, refused, passing, over, any_over = {}, false, {}, {}, false
  for i = 1, #charges do
    local p = charges[i]
    local wait = charge(p, p.amount, p.binding ~= ENFORCED)
    waits[i] = wait
    if p.binding == ENFORCED then
      refused = refused or wait ~= ADMITTED
    elseif p.binding ~= COUNTED then
      if wait == ADMITTED then
        passing[p.binding] = true
      else
        over[p.binding], any_over = true, true
      end
    end
  end
  -- Quotas refuse if none of their groups is without one that is over.
  local quotas_over = any_over
  for group in pairs(passing) do quotas_over = quotas_over and over[group] end
  if refused or quotas_over then
    changed = {}
    -- The verdicts stand: charges of one counter may find no room only together.
    for i = 1, #charges do
      look(charges[i])
      reply[charges[i].reply + 2] = waits[i]
    end
  end
end

local function each(charges, unless_over)
  local over, any = {}, false
  if unless_over then
    for i = 1, #charges do
      over[i] = look(charges[i]) ~= ADMITTED
      any = any or over[i]
    end
  end
  for i = 1, #charges do
    local p = charges[i]
    if any and not over[i] and p.op ~= GIVE_BACK then
      p.op, p.room = TAKE, 0
      look(p)
    else
      charge(p, p.amount, p.kind == FIXED or p.binding ~= ENFORCED)
    end
  end
end

local key_at = 0

local function read(call_at)
  local args = ARGV[call_at]
  local admission, count = unpack('<BI2', args)
  local charges = {}
  for i = 1, count do
    local kind, op, binding, room, amount, most, p1, p2, p3, p4 =
      unpack('<BBi4ddddddd', args, HEAD + 1 + (i - 1) * RECORD)
    key_at = key_at + 1
    -- Few fields: making this table is a good part of a charge's cost.
    local p = {
      key = KEYS[key_at], reply = key_at * 4 - 2, kind = kind, op = op, binding = binding,
      room = room, amount = amount, most = most, width = p1,
    }
    if kind == BUCKET then
      p.units, p.length = p1, p2
    elseif kind == CALENDAR then
      p.before, p.start, p.stop, p.beyond = p1, p2, p3, p4
    elseif kind == TOTAL then
      p.forget = p1
    end
    charges[i] = p
  end
  return admission, charges
end

local deadline
now, grace, deadline = unpack('<ddd', ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
reply = { now }

for call_at = 2, #ARGV do
  local admission, charges = read(call_at)
  changed, astray = {}, now > deadline
  if not astray then
    if admission == ALL_OR_NONE then
      all_or_none(charges)
    else
      each(charges, admission == EACH_UNLESS_OVER)
    end
  end
  if astray then
    for i = 1, #charges do
      local at = charges[i].reply
      reply[at], reply[at + 1], reply[at + 2], reply[at + 3] = 0, 0, ASTRAY, 0
    end
  else
    for key, s in pairs(changed) do
      save(s[4], key, s)
      stored[key] = s
    end
  end
end
return reply
