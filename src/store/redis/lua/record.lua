-- The record of a reservation: what it charges and holds where, and what was paid of it.
--
-- One string under the name of the reservation, so that whoever settles it names one key. All keys of a reservation are
-- on one server: a cluster would keep one record a slot. In Redis:
--
--   B  where it is in its life    d  when it began, when it lapses, for how long it is renewed, when it lapses at the
--   latest    d  units granted    d  until when it counts    8 bytes  what was asked
--   I4 and bytes  whose it is, as it is written down    I4 and bytes  doubles, what it was told to have used: of tokens,
--   nano-USD, each class
--   then of each counter
--   d  the end of the period that it belongs to    d  granted, paid, hits taken    d  what is held now, -1 for no hold
--   I2 and bytes  what src/store/redis/script/reservation.rs says of it: B the unit; tag and id of the counter, 24 bytes
--   I2 and bytes  its terms

local OPEN, SETTLED, RELEASED, UNHELD = 0, 1, 2, 3
local HITS, TOKENS, MONEY = 0, 1, 2
local NO_HOLD = -1

-- The name of a counter, of the bytes of tag and id.
local NAME = 'tollgate:{%08x%08x}:%08x%08x%08x%08x'

-- The record under `key`, if it counts.
local function read_record(key)
  local raw = call('GET', key)
  if not raw then return nil end
  local state, began, till, ttl, ends, units, counts, asked, about, totals, at = unpack('<Bddddddc8I4c0I4c0', raw)
  if now >= counts then return nil end
  local parts = {}
  while at <= #raw do
    local over, granted, paid, taken, held, info, terms, next_at = unpack('<dddddI2c0I2c0', raw, at)
    -- A table made whole is made once; one that is filled is made anew as it grows.
    parts[#parts + 1] = {
      ends = over, granted = granted, paid = paid, taken = taken, held = held, info = info, terms = terms,
    }
    at = next_at
  end
  return {
    state = state, began = began, till = till, ttl = ttl, ends = ends, units = units, counts = counts, asked = asked,
    about = about, totals = totals, parts = parts,
  }
end

local function write_record(key, r)
  local pieces = { pack('<Bddddddc8I4c0I4c0', r.state, r.began, r.till, r.ttl, r.ends, r.units, r.counts, r.asked,
    #r.about, r.about, #r.totals, r.totals) }
  for i, part in ipairs(r.parts) do
    pieces[i + 1] = pack('<dddddI2c0I2c0', part.ends, part.granted, part.paid, part.taken, part.held,
      #part.info, part.info, #part.terms, part.terms)
  end
  call('PSETEX', key, whole(ceil(max(r.counts - now, 0) / 1000) + grace), table.concat(pieces))
end

-- When the period ends that holds now; infinite for windows without periods, nothing if that is not known.
local function period_end(p)
  if p.kind ~= FIXED and p.kind ~= CALENDAR then return huge end
  local _, stop = period(p, 0, 0)
  return stop
end
