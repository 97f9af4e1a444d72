-- What every script begins with: the time, and how it answers.
--
-- ARGV    [1]     d d d I2 I2 B  the time to go by instead of TIME, or 0; the instant after which nothing is done,
--                 infinite for none; milliseconds that Redis keeps a state beyond the instant from which it is as good
--                 as fresh; how many runs follow; how many of those, the first, are of sliding windows;
--                 1 if all calls that are in no run are steps
-- Reply   doubles in one string, which is read at a fraction of the cost of as many integers:
--         now; and nothing more if it is too late, when nothing was done. Then for each charge:
--         -2^55, held                before the rest, of a counter beside which holds may stand
--         used, reset                if it was admitted
--         -1 - used, wait, reset     if not
--         wait   microseconds until it would pass; -1 if waiting does not help
--         reset  microseconds until the counter is whole; -1 if time alone never brings it there
--
-- Numbers are little-endian. Instants and spans are whole microseconds, and exact: a double holds them until 2112.

-- Lua has an unpack of its own, which spreads a table.
local call, pack, unpack, spread = redis.call, struct.pack, struct.unpack, unpack

-- Numbers in one string; in pieces, because Lua's stack is bounded. It holds on to little, so that it costs little to
-- make.
local function packed(numbers, from, to)
  local last = from + 999
  if to <= last then return struct.pack('<' .. ('d'):rep(to - from + 1), spread(numbers, from, to)) end
  return packed(numbers, from, last) .. packed(numbers, last + 1, to)
end

-- 2^53 - 1, the most that anything counts.
local MOST = 9007199254740991
local CELLS = 50
-- Bytes of the front, and of a cell behind it.
local FRONT, CELL = 21, 8

local now, deadline, grace, runs, sliding_runs, steps = unpack('<dddI2I2B', ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
-- Has the places of one charge from the start.
local reply, replied = { now, 0, 0 }, 1
if now > deadline then return packed(reply, 1, replied) end
