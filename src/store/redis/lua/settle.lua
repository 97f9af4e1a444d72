-- Tells what a reservation has come to, charges that, and holds the rest on or lets it go: the twin of settle_now of
-- src/store/memory/reserve.rs.
--
-- KEYS    the record; the trail of what is spent
-- ARGV    [2]   B B d d d c16  how it goes on; 1 if what follows is charged when there is no record; for how long its record
--               counts, and what nobody has reserved is held on; tokens and nano-USD spent so far, -1 - n for what was
--               held and at least n; its name; then what is to be written down, if anything is
--         then  for each counter to charge if there is no record: what the record says of it; its terms
-- Reply   after the time: how it was found; the time that it went by; when what is held lapses, -1 if nothing is; when it
--         was reserved; then of each counter: granted; paid in all; charged now; what came of it. Beside that string what the record says of
--         each, in the same order. A reset of -2 is the end of a period that the record does not know.

local MORE, DONE, RELEASE, LOOK = 0, 1, 2, 3
local FOUND_HELD, FOUND_LATE, FOUND_SETTLED, FOUND_UNHELD, FOUND_UNKNOWN = 0, 1, 2, 3, 4
local NOBODY_KNOWS = -2

local and_then, otherwise, keep, tokens, money, name, report_at = unpack('<BBdddc16', ARGV[2])
local report = read_report(ARGV[2], report_at)

-- What nobody reserved: all of it is still to be paid. Nothing if its periods are not known.
local function after_the_fact()
  local r = {
    state = UNHELD, began = now, till = now, ttl = keep, ends = huge, units = 0, asked = ('\0'):rep(8), parts = {},
    about = report and report.about or '', totals = '',
  }
  for at = 3, #ARGV, 2 do
    local ends = period_end(read_terms(ARGV[at + 1]))
    if not ends then return nil end
    r.parts[#r.parts + 1] = {
      ends = ends, granted = 0, paid = 0, taken = 0, held = NO_HOLD, info = ARGV[at], terms = ARGV[at + 1],
    }
  end
  return r
end

local record = read_record(KEYS[1])
if not record then
  if otherwise == 0 then return { packed({ now, FOUND_UNKNOWN, now, -1, now }, 1, 5) } end
  record = after_the_fact()
  if not record then return { packed({ now, ASTRAY }, 1, 2) } end
end
-- Time that runs backwards stands still: nothing is settled before it was reserved.
now = max(now, record.began)

local before = FOUND_HELD
if record.state == UNHELD then
  before = FOUND_UNHELD
elseif record.state == SETTLED or record.state == RELEASED and and_then == RELEASE then
  before = FOUND_SETTLED
elseif record.state == RELEASED or now >= record.till then
  before = FOUND_LATE
end
local goes_on = before ~= FOUND_SETTLED and and_then ~= LOOK
local till = goes_on and and_then == MORE and min(now + record.ttl, record.ends) or 0
local is_held_on = till > now

local function due(part)
  if not goes_on or and_then == RELEASE then return part.paid end
  local unit, spent = part.info:byte(), 0
  if unit ~= HITS then spent = unit == TOKENS and tokens or money end
  return max(spent < 0 and max(part.granted, -1 - spent) or spent, part.paid)
end

-- What is charged to the counter k, or given back to it, as its part is settled.
local function settle_part(k, p, part, charged)
  local h = p.beside and goes_on and beside(k, names[k])
  local was_open = h and end_hold(h, name, part.held)
  local is_closed = now >= part.ends
  if not is_closed and and_then == RELEASE and (before == FOUND_HELD or before == FOUND_LATE) then
    charge(k, p, GIVE_BACK, 0, part.taken, true, 1)
    if part.taken > 0 then writers[k] = p end
  elseif charged > 0 then
    charge(k, p, TAKE, 0, charged, true, 1)
    writers[k] = p
  end
  if h and is_held_on and not is_closed then
    p.till = min(till, part.ends)
    -- Room that was let go may be another's by now.
    charge(k, p, HOLD, max(part.granted - part.paid, 0), 0, was_open, 1)
  else
    charge(k, p, TAKE, 0, 0, false, 1)
  end
  part.held = h and h.put or NO_HOLD
end

if goes_on and report then
  local found = before == FOUND_UNHELD and 3 or before + 1
  write_down(KEYS[2], record, report, found, tokens, money, and_then == DONE)
end

changed = stored
names = {}
reply[2], reply[3], reply[4], reply[5] = before, now, is_held_on and till or -1, record.began
replied = 5
local replies = { '' }
for k, part in ipairs(record.parts) do
  local p, paid = read_terms(part.terms), part.paid
  names[k] = NAME:format(unpack('>I4I4I4I4I4I4', part.info, 2))
  -- What belongs to a period that is over was charged to it, or never is.
  part.paid = due(part)
  local charged = now < part.ends and part.paid - paid or 0
  -- No later period than the next is known: all that is left to say is whether what was counted is of one before.
  if p.kind == CALENDAR and now >= p.beyond then p.stop, p.beyond = now, huge end
  settle_part(k, p, part, charged)
  if told[3] == huge then told[3] = NOBODY_KNOWS end
  reply[replied + 1], reply[replied + 2], reply[replied + 3] = part.granted, part.paid, charged
  replied = replied + 3
  tell(1)
  replies[k + 1] = part.info
end

if goes_on then
  record.state = and_then == MORE and OPEN or and_then == RELEASE and RELEASED or SETTLED
  if is_held_on then record.till = till end
  if and_then == RELEASE then
    for _, part in ipairs(record.parts) do part.taken = 0 end
  end
  record.counts = max(now + keep, record.till)
  write_counters()
  write_holds(name)
  write_record(KEYS[1], record)
end
replies[1] = packed(reply, 1, replied)
return replies
