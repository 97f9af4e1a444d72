-- The runs of fixed windows, which nearly all calls of the reference's format ask for. In Redis: start of a period d,
-- its end d, used d.

for run = sliding_runs + 2, runs + 1 do
  local args = ARGV[run]
  local length, most, amount, overrun, once, often_at = unpack('<dddBI2', args)
  local start = now - now % length
  local expiry
  local last_once = key_at + once
  local last_key = last_once + (#args - often_at + 1) / 2
  for k = key_at + 1, last_key do
    local key, times = KEYS[k], 1
    if k > last_once then times = unpack('<I2', args, often_at + (k - last_once - 1) * 2) end
    local state = call('GET', key)
    local from, stop, used = start, start + length, 0
    local in_place = false
    if state then
      local kept_from, kept_stop, kept = unpack('<ddd', state)
      -- Time before a period is taken to be in it.
      if now < kept_stop then
        from, stop, used = kept_from, kept_stop, kept
        -- One that is longer is of a limit that carried its debt: from here on that is forgiven.
        in_place = #state == 24
      end
    end

    local reset, changed = stop - now, false
    for _ = 1, times do
      local admitted = amount <= most - used
      if admitted or overrun == 1 then
        changed, used = true, math.min(used + amount, MOST)
      end
      if admitted then
        reply[replied + 1], reply[replied + 2] = used, reset
        replied = replied + 2
      else
        reply[replied + 1], reply[replied + 2], reply[replied + 3] = -1 - used, amount <= most and reset or -1, reset
        replied = replied + 3
      end
    end
    if in_place and changed then
      call('SETRANGE', key, '16', pack('<d', used))
    elseif changed then
      -- The same for all counters of a run: they begin the same period.
      expiry = expiry or math.ceil(reset / 1000) + grace .. ''
      call('PSETEX', key, expiry, pack('<ddd', from, stop, used))
    end
  end
  key_at = last_key
end
if #ARGV == runs + 1 then return packed(reply, 1, replied) end
