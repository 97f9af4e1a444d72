-- Does a call once under a name, and holds what it asks to hold; all of it or nothing: the twin of reserve_now of
-- src/store/memory/reserve.rs.
--
-- KEYS    the record; every counter once; the trail of what is spent, if anything is at once
-- ARGV    [2]   d d d d c16 c8  how long it lives, unless renewed, and at the most; for how long its record counts; of how
--               many units what is flexible consists, 0 for all or nothing; its name; a hash of what is asked; as text
--               that ends with 0, for how many milliseconds are kept: the record; a set and a front that hold nothing
--               but what lives as long; then whose it is, as it is written down
--         terms, and what stays the same in the record of a counter, in any order
--         last  I2  number of charges; then for each I2 I2 I2: counter; its terms and what stays the same, as places in ARGV.
--               Charges of one counter say the same; 0 where nobody has to come back to it. If anything is spent at
--               once, what is written down, as all.lua says
-- Reply   after the time: what became of it; units granted, when it was reserved, when it lapses, of a hold; the charges

local TAKEN, REPLAYED, REFUSED, CONFLICT = 0, 1, 2, 3

local ttl, max_age, keep, units, name, asked, kept, set_kept, front_kept, about_at = unpack('<ddddc16c8sss', ARGV[2])
local calls = ARGV[#ARGV]
local count, call_at = unpack('<I2', calls)
local terms, stays = {}, {}
for i = 1, count do
  local k, at
  k, at, stays[i], call_at = unpack('<I2I2I2', calls, call_at)
  local p = terms[at]
  if not p then
    p = read_terms(ARGV[at])
    terms[at] = p
  end
  keys[i], by[i] = k + 1, p
end
changed = {}

local function say(what, granted, began, till)
  if astray then return packed({ now, ASTRAY }, 1, 2) end
  -- With the places of one charge from the start.
  reply, replied = { now, what, granted, began, till, 0, 0, 0, 0 }, 5
  if what ~= CONFLICT then tell(count) end
  return packed(reply, 1, replied)
end

local known = call('GET', KEYS[1])
if known then
  local _, began, lapses, _, _, share, counts, body = unpack('<Bddddddc8', known)
  if now < counts then
    if body ~= asked then return say(CONFLICT, 0, 0, 0) end
    for i = 1, count do charge(keys[i], by[i], TAKE, 0, 0, false, i * 4 - 3) end
    return say(REPLAYED, share, began, lapses)
  end
end

local granted = 1
if units > 0 then
  -- The part `some` of `units`, of what is flexible, rounded up.
  local function part_of(some, flexible)
    if some >= units then return flexible end
    local product = flexible * some
    return min(ceil(product / units * (product < EXACT and 1 or 1 + SHADE)), flexible)
  end

  -- As much of `some` as leaves a part of what is flexible within `left`.
  local function within(some, left, flexible)
    if left < 0 then return 0 end
    if part_of(some, flexible) <= left then return some end
    local product = left * units
    local less = floor(product / flexible * (product < EXACT and 1 or 1 - SHADE))
    while less > 0 and part_of(less, flexible) > left do less = less - 1 end
    return less
  end

  granted = units
  for i = 1, count do
    local p = by[i]
    if p[OP] == HOLD and p[BINDING] == ENFORCED then
      if charge(keys[i], p, TAKE, 0, 0, false, 1) == ASTRAY then return say() end
      local room = max(p[AT_MOST] - told[1] - (told[4] or 0), 0)
      granted = within(granted, room - p[FIXED_ROOM], p[AMOUNT])
    end
  end
  if granted == 0 then granted = 1 end
  for _, p in pairs(terms) do
    if p[OP] == HOLD then p[ROOM] = p[FIXED_ROOM] + part_of(granted, p[AMOUNT]) end
  end
end

local lapses = now + min(ttl, max_age)
for _, p in pairs(terms) do
  local ends = period_end(p)
  if not ends then
    astray = true
    return say()
  end
  p[ENDS], p[TILL] = ends, min(lapses, ends)
end

local refused = all_or_none(count)
if refused or astray then return say(REFUSED, 0, 0, 0) end

local parts, of = {}, {}
for i = 1, count do
  local p, at = by[i], stays[i]
  if at > 0 then
    local part = of[at]
    if not part then
      local h = besides[keys[i]]
      part = { p[ENDS], 0, 0, 0, h and h[PUT] or NO_HOLD, ARGV[at] }
      of[at], parts[#parts + 1] = part, part
    end
    if p[OP] == HOLD then
      part[GRANTED] = min(part[GRANTED] + p[ROOM], MOST)
    elseif p[OP] == TAKE and part[STAYS]:byte(UNIT_AT) == HITS then
      part[GIVEN] = min(part[GIVEN] + p[AMOUNT], MOST)
    end
  end
end
if call_at <= #calls then
  local failure = spend(calls, call_at)
  if failure then return failure end
end
keep_changes()
write_counters()
write_holds(name, lapses, set_kept, front_kept)
write_record(KEYS[1], {
  parts, OPEN, now, lapses, ttl, now + max_age, granted, max(now + keep, lapses), asked, sub(ARGV[2], about_at), '',
}, kept)
return say(TAKEN, granted, now, lapses)
