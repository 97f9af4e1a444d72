-- Steps: calls of several takes from sliding windows, enforced, all or none, that name no counter twice. They read and
-- write Redis themselves, one after the other.
--
-- ARGV    terms, as runs of sliding windows have them, with no counters; and last all steps, as charge.lua has calls

local calls, call_at = ARGV[#ARGV], 1
if steps == 1 then
  local terms = {}
  for index = runs + 2, #ARGV - 1 do
    local width, most, amount, _, expiry = unpack('<dddI2s', ARGV[index])
    terms[index - runs - 1] = { width = width, most = most, amount = amount, expiry = expiry }
  end
  -- Of each charge of the step in hand; places that it does not have are stale.
  local keys, by, cells, totals, lasts, counts = {}, {}, {}, {}, {}, {}
  while call_at <= #calls do
    local _, count
    _, count, call_at = unpack('<BI2', calls, call_at)
    local fits = true
    for i = 1, count do
      local k, term
      k, term, call_at = unpack('<I2I2', calls, call_at)
      local p, key = terms[term], KEYS[key_at + k]
      keys[i], by[i] = key, p
      cells[i], totals[i], lasts[i], counts[i] = forget(p.width, load_cells(key))
      fits = fits and p.amount <= p.most - totals[i]
    end
    for i = 1, count do
      local p, a, b, c, d = by[i], cells[i], totals[i], lasts[i], counts[i]
      local wait
      if fits then
        local last = b > 0 and c
        a, b, c, d = add_to_cells(p.width, p.amount, a, b, c, d)
        save_cells(keys[i], p.expiry, last == c, a, b, c, d)
      elseif p.amount > p.most - b then
        wait = p.amount <= p.most and freed_from_cells(p.width, b - (p.most - p.amount), a, b, c) or -1
      end
      replied = replied + 2
      reply[replied - 1] = b
      if wait then
        reply[replied - 1], reply[replied] = -1 - b, wait
        replied = replied + 1
      end
      reply[replied] = b > 0 and forgotten_after(p.width, c) or 0
    end
  end
  return packed(reply, 1, replied)
end
