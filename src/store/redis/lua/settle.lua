-- Tells what a reservation has come to, charges that, and holds the rest on or lets it go: the twin of settle_now of
-- src/store/memory/reserve.rs.
--
-- KEYS    the record; the trail of what is spent
-- ARGV    [2]   B B d d d c16  how it goes on; 1 if what follows is charged when there is no record; for how long its record
--               counts, and what nobody has reserved is held on; tokens and nano-USD spent so far, -1 - n for what was
--               held and at least n; its name; as text that ends with 0, for how many milliseconds the record is kept if
--               it counts for that long; then what is to be written down, if anything is
--         [3]   of each calendar of whose boundaries the caller was told to send others: I2 and bytes  what
--               src/store/redis/script/info.rs says of its counter; c32  the boundaries, as terms have them
--         then  for each counter to charge if there is no record: what stays the same in the record
-- Reply   after the time: how it was found; the time that it went by; when what is held lapses, -1 if nothing is; when it
--         was reserved; then of each counter: granted; paid in all; charged now; what came of it. Beside that string what
--         stays the same in the record of each, in the same order.
--         Or -2^54 and the time that it went by, if nothing was done because calendars do not reach to then; beside
--         that what stays the same in the record of each counter whose boundaries are to be sent

local MORE, DONE, RELEASE, LOOK = 0, 1, 2, 3
local FOUND_HELD, FOUND_LATE, FOUND_SETTLED, FOUND_UNHELD, FOUND_UNKNOWN = 0, 1, 2, 3, 4
-- Where the boundaries of a calendar are in terms, and bytes of them.
local BOUNDARIES_AT, BOUNDARIES = 32, 32

local and_then, otherwise, keep, tokens, money, name, kept, report_at = unpack('<BBdddc16s', ARGV[2])
local report = read_report(ARGV[2], report_at)

-- The terms of a part; nothing if its calendar does not reach to now. What was sent of that is kept from then on.
local function terms_of(part)
  local stays = part[STAYS]
  local at = unpack('<I2', stays) + 3
  local p = read_terms(stays, at)
  if p[KIND] ~= CALENDAR or now >= p[BEFORE] and now < p[BEYOND] then return p end
  local info, sent, of, boundaries = sub(stays, 3, at - 1), 1, nil, nil
  while of ~= info do
    if sent > #ARGV[3] then return nil end
    of, boundaries, sent = unpack('<I2c0c32', ARGV[3], sent)
  end
  part[STAYS] = sub(stays, 1, at + BOUNDARIES_AT - 1) .. boundaries .. sub(stays, at + BOUNDARIES_AT + BOUNDARIES)
  p = read_terms(part[STAYS], at)
  return now >= p[BEFORE] and now < p[BEYOND] and p or nil
end

local record
local raw = call('GET', KEYS[1])
if raw then
  local parts = {}
  record = { parts, unpack('<Bddddddc8I4c0I4c0', raw) }
  local at, count = record[TOTALS + 1], 0
  while at <= #raw do
    count = count + 1
    local part = { unpack('<dddddI2c0', raw, at) }
    parts[count], at = part, part[STAYS + 1]
  end
end
if not record or now >= record[COUNTS] then
  if otherwise == 0 then return { packed({ now, FOUND_UNKNOWN, now, -1, now }, 1, 5) } end
  -- What nobody reserved: all of it is still to be paid.
  local parts = {}
  for at = 4, #ARGV do
    local part = { 0, 0, 0, 0, NO_HOLD, ARGV[at] }
    local p = terms_of(part)
    -- The time alone tells the caller which boundaries to send.
    if not p then return { packed({ now, ASTRAY, now }, 1, 3) } end
    part[CLOSES] = period_end(p)
    parts[at - 3] = part
  end
  record = { parts, UNHELD, now, now, keep, huge, 0, 0, ('\0'):rep(8), report and report.about or '', '' }
end
-- Time that runs backwards stands still: nothing is settled before it was reserved.
now = max(now, record[BEGAN])
local terms, astray_ones = {}, { '' }
for k, part in ipairs(record[PARTS]) do
  terms[k] = terms_of(part)
  if not terms[k] then astray_ones[#astray_ones + 1] = part[STAYS] end
end
if #astray_ones > 1 then
  astray_ones[1] = packed({ reply[1], ASTRAY, now }, 1, 3)
  return astray_ones
end

local before, state = FOUND_HELD, record[STATE]
if state == UNHELD then
  before = FOUND_UNHELD
elseif state == SETTLED or state == RELEASED and and_then == RELEASE then
  before = FOUND_SETTLED
elseif state == RELEASED or now >= record[LAPSES] then
  before = FOUND_LATE
end
local goes_on = before ~= FOUND_SETTLED and and_then ~= LOOK
local till = goes_on and and_then == MORE and min(now + record[TTL], record[AGED]) or 0
local is_held_on = till > now
local gives_back = and_then == RELEASE and (before == FOUND_HELD or before == FOUND_LATE)

changed = stored
names = {}
-- With the places of one part from the start.
reply, replied = { reply[1], before, now, is_held_on and till or -1, record[BEGAN], 0, 0, 0, 0, 0, 0, 0 }, 5
local replies = { '' }
for k, part in ipairs(record[PARTS]) do
  local stays, paid, charged = part[STAYS], part[PAID], 0
  local p, unit, is_closed = terms[k], stays:byte(UNIT_AT), now >= part[CLOSES]
  -- A period that is over had room for what was granted if that was held to its end. If not, that is never so again.
  local is_covered = is_closed and part[ON_HOLD] ~= NO_HOLD and record[LAPSES] >= part[CLOSES]
  names[k] = sub(stays, UNIT_AT + 1, UNIT_AT + 60)
  if unit ~= HITS and goes_on and and_then ~= RELEASE then
    local due = unit == TOKENS and tokens or money
    if due < 0 then due = max(part[GRANTED], -1 - due) end
    if due > paid then
      part[PAID] = due
      charged = max(due - (is_covered and max(paid, part[GRANTED]) or paid), 0)
    end
  end
  local h = p[BESIDE] and goes_on and beside(k, names[k])
  local hold = h and h[COUNT] > 0 and name .. pack('<d', part[ON_HOLD])
  local was_open = hold and call('ZRANK', h[OPEN_KEY], hold)
  if was_open then h[IN_ALL], h[COUNT], h[ENDED] = h[IN_ALL] - part[ON_HOLD], h[COUNT] - 1, hold end
  if gives_back and part[GIVEN] > 0 and not is_closed then
    charge(k, p, GIVE_BACK, 0, part[GIVEN], true, 1)
    writers[k] = p
  elseif charged > 0 then
    writers[k] = p
  end
  if h and is_held_on and not is_closed then
    if charged > 0 then charge(k, p, SPEND, 0, charged, true, 1) end
    p[TILL] = min(till, part[CLOSES])
    -- Room that was let go may be another's by now.
    charge(k, p, HOLD, max(part[GRANTED] - part[PAID], 0), 0, was_open, 1)
  else
    charge(k, p, SPEND, 0, charged, true, 1)
  end
  if not is_closed then
    part[ON_HOLD] = h and h[PUT] or NO_HOLD
  elseif not is_covered or and_then == RELEASE then
    part[ON_HOLD] = NO_HOLD
  end
  reply[replied + 1], reply[replied + 2], reply[replied + 3] = part[GRANTED], part[PAID], charged
  replied = replied + 3
  tell(1)
  replies[k + 1] = stays
end

-- All that Redis may refuse has been asked for but the note, which is written first: nothing is half done.
if goes_on then
  if report then
    local found = before == FOUND_UNHELD and 3 or before + 1
    write_down(KEYS[2], record, report, found, tokens, money, and_then == DONE)
  end
  record[STATE] = and_then == MORE and OPEN or and_then == RELEASE and RELEASED or SETTLED
  if is_held_on then record[LAPSES] = till end
  if and_then == RELEASE then
    for _, part in ipairs(record[PARTS]) do part[GIVEN] = 0 end
  end
  local counts = max(now + keep, record[LAPSES])
  record[COUNTS] = counts
  -- First what a full Redis takes too, which then takes the rest.
  write_holds(name)
  write_counters()
  write_record(KEYS[1], record, counts == now + keep and kept or kept_until(counts))
end
replies[1] = packed(reply, 1, replied)
return replies
