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
--   d  the end of the period that it belongs to    d  granted, paid, hits taken    d  what is held, or was
--   when its period ended, -1 for no hold
--   I2 and bytes  what stays as it was asked: I2 and bytes  what src/store/redis/script/info.rs says of it: B the unit; the
--   counter's name, 60 bytes; the rest    then its terms, with boundaries around when it was asked or settled

local OPEN, SETTLED, RELEASED, UNHELD = 0, 1, 2, 3
local HITS, TOKENS, MONEY = 0, 1, 2
local NO_HOLD = -1

-- Of a record, in order, its parts first; and of a part.
local PARTS, STATE, BEGAN, LAPSES, TTL, AGED, SHARE, COUNTS, ASKED, ABOUT, TOTALS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
local CLOSES, GRANTED, PAID, GIVEN, ON_HOLD, STAYS = 1, 2, 3, 4, 5, 6
-- Where the unit is in what stays.
local UNIT_AT = 3

-- Writes the record under `key`, for so many milliseconds.
local function write_record(key, r, kept)
  local texts = { pack('<Bddddddc8I4c0I4c0', r[STATE], r[BEGAN], r[LAPSES], r[TTL], r[AGED], r[SHARE],
    r[COUNTS], r[ASKED], #r[ABOUT], r[ABOUT], #r[TOTALS], r[TOTALS]) }
  for i, part in ipairs(r[PARTS]) do
    local stays = part[STAYS]
    texts[i + 1] =
      pack('<dddddI2c0', part[CLOSES], part[GRANTED], part[PAID], part[GIVEN], part[ON_HOLD], #stays, stays)
  end
  -- At once: a text that grows is copied whenever it does.
  call('PSETEX', key, kept, table.concat(texts))
end

-- Milliseconds until an instant, and a little.
local function kept_until(at) return ceil(max(at - now, 0) / 1000) + grace end

-- Writes what was put and ended under this name. Both keys are kept for twice the life of a hold that they would not
-- outlive, so that not every hold has to prolong them. For how many milliseconds that is, of a hold that lapses then, its
-- caller may know: a number costs more to write than text.
local function write_holds(name, then_lapses, set_kept, front_kept)
  for _, h in pairs(besides) do
    local open, ended = h[OPEN_KEY], h[ENDED]
    -- A set that was empty is a new one, which nothing lets expire.
    if h[COUNT] == 0 and not ended then h[KEPT] = 0 end
    if h[PUT] then
      local till, hold = h[PUT_TILL], name .. pack('<d', h[PUT])
      -- First, so that the set is never empty.
      call('ZADD', open, till, hold)
      if ended and ended ~= hold then call('ZREM', open, ended) end
      h[FIRST], h[COUNT] = min(h[FIRST], till), h[COUNT] + 1
      if till > h[KEPT] then
        h[KEPT] = till + max(till - now, 0)
        local kept, outlives = set_kept, front_kept
        if till ~= then_lapses then
          kept = kept_until(h[KEPT])
          outlives = kept + OUTLIVES
        end
        call('PEXPIRE', open, kept)
        call('PSETEX', h[FRONT_KEY], outlives, pack('<dddd', h[IN_ALL], h[FIRST], h[KEPT], h[COUNT]))
      else
        save_front(h)
      end
    elseif ended then
      if h[COUNT] > 0 then call('ZREM', open, ended) end
      save_front(h)
    end
  end
end

-- When the period ends that holds now; infinite for windows without periods, nothing if that is not known.
local function period_end(p)
  if p[KIND] ~= FIXED and p[KIND] ~= CALENDAR then return huge end
  local _, stop = period(p, 0, 0)
  return stop
end
