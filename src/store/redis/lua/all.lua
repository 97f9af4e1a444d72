-- Calls of several charges: all of them are made, or none.

-- What a charge would come to, with nothing changed.
local function look(k, p, at)
  local asks = p[OP] == TAKE or p[OP] == HOLD
  return charge(k, p, asks and TAKE or GIVE_BACK, p[ROOM], 0, false, at)
end

-- Makes all charges of a call or none. Whether it is refused.
local function all_or_none(count)
  local refused, passing, over, any_over = false, nil, nil, false
  for i = 1, count do
    local p = by[i]
    local wait = charge(keys[i], p, p[OP], p[ROOM], p[AMOUNT], p[OVERRUN], i * 4 - 3)
    if p[BINDING] == ENFORCED then
      refused = refused or wait ~= ADMITTED
    elseif p[BINDING] ~= COUNTED then
      passing, over = passing or {}, over or {}
      if wait == ADMITTED then
        passing[p[BINDING]] = true
      else
        over[p[BINDING]], any_over = true, true
      end
    end
  end
  -- Quotas refuse if none of their groups is without one that is over.
  local quotas_over = any_over
  for group in pairs(passing or {}) do quotas_over = quotas_over and over[group] end
  if not refused and not quotas_over then return false end
  changed = {}
  for _, h in pairs(besides) do
    if h[PUT] then h[IN_ALL], h[PUT] = h[IN_ALL] - h[PUT], false end
  end
  -- The verdicts stand: charges of one counter may find no room only together.
  for i = 1, count do
    local wait = told[i * 4 - 2]
    look(keys[i], by[i], i * 4 - 3)
    told[i * 4 - 2] = wait
  end
  return true
end

-- Writes down what a call spends, with its time. The error, if Redis takes no note of it.
--         text, which ends with 0: how many notes are kept; then of each I4 and bytes  all but the time
local function spend(expenses, at)
  local most, note
  most, at = unpack('s', expenses, at)
  while at <= #expenses do
    note, at = unpack('<I4c0', expenses, at)
    note = sub(note, 1, 2) .. pack('<d', now) .. sub(note, 3)
    local added = redis.pcall('XADD', KEYS[#KEYS], 'MAXLEN', '~', most, '*', 'e', note)
    if added.err then return added end
  end
end

-- Has Redis have what a call changed, once it is known that it stands.
local function keep_changes()
  for k, s in pairs(changed) do stored[k], writers[k] = s, s[5] end
end
