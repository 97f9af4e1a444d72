-- Charges counters: what several callers ask at once, as if each came alone, one after the other.
--
-- This part and fixed.lua do what is asked most, and make nothing that is not needed for it: calls of one charge, which
-- take from a sliding or a fixed window that is asked only in this way. The rest follows.
--
-- KEYS    every counter once: those of the runs in order, then those of the calls
-- ARGV    [1]   as head.lua says
--         runs of sliding windows
--                 d d d I2  width of a cell; the most that may be used; what each call takes; how many counters are
--                 asked once. Then how long a state is kept, in milliseconds, as text that ends with 0
--         runs of fixed windows
--                 d d d B I2  length; the same two; 1 if what finds no room is counted all the same; how many
--                 counters are asked once
--         all runs
--                 Then I2 for each counter that is asked more than once: how often
--         [n…]  the calls, as steps.lua and charge.lua say
-- Reply   of each charge, in the order of runs and calls
--
-- A sliding window in Redis: total d, then the last cell: count I7, index I6; then the others that hold something,
-- oldest first: index modulo 256 B, count I7. In front stands what changes within a cell. No cell is more than 50
-- before the last, so the remainders tell which they are.
--
-- One TIME; one GET for each counter, one write for each that changed. Only steps ask for a counter once a call.

local key_at = 0
for run = 2, sliding_runs + 1 do
  local args = ARGV[run]
  local width, most, amount, once, expiry, often_at = unpack('<dddI2s', args)
  local at = (now - now % width) / width
  local last_once = key_at + once
  local last_key = last_once + (#args - often_at + 1) / 2
  for k = key_at + 1, last_key do
    local key, times = KEYS[k], 1
    if k > last_once then times = unpack('<I2', args, often_at + (k - last_once - 1) * 2) end
    local state = call('GET', key)
    local total, count, last = 0, 0, at
    local from, in_place = FRONT + 1, false
    if state then
      total, count, last = unpack('<dI7I6', state)
      in_place = last >= at
      if last < at - CELLS then
        state, total, count, last = nil, 0, 0, at
      elseif last < at then
        while from < #state do
          if (last - state:byte(from)) % 256 <= last - at + CELLS then break end
          total, from = total - unpack('<I7', state, from + 1), from + CELL
        end
      end
    end

    -- The cell that was the last, once another is begun.
    local closed = ''
    local admitted = 0
    while admitted < times and amount <= most - total do
      if admitted == 0 and not in_place then
        if state then closed = pack('<BI7', last % 256, count) end
        last, count = at, 0
      end
      admitted, total, count = admitted + 1, total + amount, count + amount
      reply[replied + 1], reply[replied + 2] = total, (last + CELLS + 1) * width - now
      replied = replied + 2
    end
    if admitted > 0 then
      if in_place then
        call('SETRANGE', key, '0', pack('<dI7', total, count))
      else
        -- All is put together at once: Redis's Lua reads a long string through whenever one is made.
        local value = pack('<dI7I6', total, count, last)
        if state then value = value .. state:sub(from) .. closed end
        call('PSETEX', key, expiry, value)
      end
    end

    if admitted < times then
      local wait, reset = -1, 0
      if total > 0 then reset = (last + CELLS + 1) * width - now end
      if amount <= most then
        local cells = state and state:sub(from) .. closed or ''
        local freed, excess, index = 0, total - (most - amount), last
        for cell = 1, #cells, CELL do
          local remainder, n = unpack('<BI7', cells, cell)
          freed = freed + n
          if freed >= excess then
            index = last - (last - remainder) % 256
            break
          end
        end
        wait = (index + CELLS + 1) * width - now
      end
      for _ = admitted + 1, times do
        reply[replied + 1], reply[replied + 2], reply[replied + 3] = -1 - total, wait, reset
        replied = replied + 3
      end
    end
  end
  key_at = last_key
end
