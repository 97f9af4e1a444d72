-- Does a call once under a name, and holds what it asks to hold; all of it or nothing: the twin of reserve_now of
-- src/store/memory/reserve.rs.
--
-- KEYS    the record; every counter once
-- ARGV    [2]   d d d d c16 c8  how long it lives, unless renewed, and at the most; for how long its record counts; of how
--               many units what is flexible consists, 0 for all or nothing; its name; a hash of what is asked;
--               then whose it is, as it is written down
--         terms and what the record says of a counter, in any order
--         last  I2  number of charges; then for each I2 I2 I2: counter; its terms and what the record says of it, as
--               places in ARGV. Charges of one counter say the same; 0 where nobody has to come back to it
-- Reply   after the time: what became of it; units granted, when it was reserved, when it lapses, of a hold; the charges

local TAKEN, REPLAYED, REFUSED, CONFLICT = 0, 1, 2, 3

local ttl, max_age, keep, units, name, asked, about_at = unpack('<ddddc16c8', ARGV[2])
local calls = ARGV[#ARGV]
local count, call_at = unpack('<I2', calls)
local terms, terms_of, infos = {}, {}, {}
for i = 1, count do
  local k, at
  k, at, infos[i], call_at = unpack('<I2I2I2', calls, call_at)
  terms[at] = terms[at] or read_terms(ARGV[at])
  keys[i], by[i], terms_of[i] = k + 1, terms[at], at
end
changed = {}

local function say(what, r)
  if astray then return packed({ now, ASTRAY }, 1, 2) end
  reply[2], reply[3], reply[4], reply[5] = what, r and r.units or 0, r and r.began or 0, r and r.till or 0
  replied = 5
  if what ~= CONFLICT then tell(count) end
  return packed(reply, 1, replied)
end

local record = read_record(KEYS[1])
if record then
  if record.asked ~= asked then return say(CONFLICT) end
  for i = 1, count do charge(keys[i], by[i], TAKE, 0, 0, false, i * 4 - 3) end
  return say(REPLAYED, record)
end

-- The part `granted` of `of` of some units, rounded up.
local function part_of(granted, of, flexible)
  if granted >= of then return flexible end
  local product = flexible * granted
  return min(ceil(product / of * (product < EXACT and 1 or 1 + SHADE)), flexible)
end

-- As much of `granted` as leaves a part of what is flexible within `left`.
local function within(granted, of, left, flexible)
  if left < 0 then return 0 end
  if part_of(granted, of, flexible) <= left then return granted end
  local product = left * of
  local less = floor(product / flexible * (product < EXACT and 1 or 1 - SHADE))
  while less > 0 and part_of(less, of, flexible) > left do less = less - 1 end
  return less
end

local granted = units
if units > 0 then
  for i = 1, count do
    local p = by[i]
    if p.op == HOLD and p.binding == ENFORCED then
      if charge(keys[i], p, TAKE, 0, 0, false, 1) == ASTRAY then return say() end
      local room = max(p.most - told[1] - (told[4] or 0), 0)
      granted = within(granted, units, room - p.fixed, p.amount)
    end
  end
  if granted == 0 then granted = 1 end
end

record = {
  state = OPEN, began = now, till = now + min(ttl, max_age), ttl = ttl, ends = now + max_age, parts = {}, asked = asked,
  units = units > 0 and granted or 1, about = ARGV[2]:sub(about_at), totals = '',
}
record.counts = max(now + keep, record.till)
for _, p in pairs(terms) do
  p.ends = period_end(p)
  if not p.ends then
    astray = true
    return say()
  end
  p.till = min(record.till, p.ends)
  if p.op == HOLD and units > 0 then p.room = p.fixed + part_of(granted, units, p.amount) end
end

local refused = all_or_none(count)
if refused or astray then return say(REFUSED) end

local parts = {}
for i = 1, count do
  local p, info = by[i], infos[i]
  if info > 0 then
    local part = parts[info]
    if not part then
      local h = besides[keys[i]]
      part = {
        ends = p.ends, granted = 0, paid = 0, taken = 0, held = h and h.put or NO_HOLD,
        info = ARGV[info], terms = ARGV[terms_of[i]],
      }
      parts[info] = part
      record.parts[#record.parts + 1] = part
    end
    if p.op == HOLD then
      part.granted = min(part.granted + p.room, MOST)
    elseif p.op == TAKE and part.info:byte() == HITS then
      part.taken = min(part.taken + p.amount, MOST)
    end
  end
end
keep_changes()
write_counters()
write_holds(name)
write_record(KEYS[1], record)
return say(TAKEN, record)
