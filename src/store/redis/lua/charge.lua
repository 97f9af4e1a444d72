-- All that is in no run and no step, and each call of it by its rules.
--
-- Calls are decided one after the other, and each sees what those before it did. All is written at the end.
--
-- KEYS    last the trail of what is spent, if any call spends something
-- ARGV    terms, one argument each, as call.lua says; and last all calls: B I2  admission, number of charges; then for
--         each charge
--         I2 I2  counter, terms: which of those that are not of a run, counted from 1
--         of a call that spends something I4 and bytes  what is written down, as all.lua says
-- Reply   -2^56 in place of all charges of a call to which nothing was done because that cannot be written down

local ALL_OR_NONE, EACH_UNLESS_OVER, SPENDS = 0, 2, 3
local UNWRITTEN = -2 ^ 56

local terms = {}

local function terms_at(index)
  local p = terms[index] or read_terms(ARGV[runs + 1 + index])
  terms[index] = p
  return p
end

local function each(count, unless_over)
  local over, any = {}, false
  if unless_over then
    for i = 1, count do
      over[i] = look(keys[i], by[i], i * 4 - 3) ~= ADMITTED
      any = any or over[i]
    end
  end
  for i = 1, count do
    local k, p, at = keys[i], by[i], i * 4 - 3
    if any and not over[i] and p[OP] ~= GIVE_BACK and p[OP] ~= SET then
      charge(k, p, TAKE, 0, 0, false, at)
    else
      charge(k, p, p[OP], p[ROOM], p[AMOUNT], p[OVERRUN], at)
    end
  end
end

-- A call of one charge: every group of quotas is its own, and nothing has to be taken back.
local function alone(admission, k, p)
  -- A quota refuses by itself here, where no other could pass.
  local overrun = p[OVERRUN] and (admission ~= ALL_OR_NONE or p[BINDING] < 0)
  local before = stored[k]
  changed = stored
  charge(k, p, p[OP], p[ROOM], p[AMOUNT], overrun, 1)
  if stored[k] ~= (before or loaded[k]) then writers[k] = p end
end

local failure
while call_at <= #calls do
  local admission, count
  admission, count, call_at = unpack('<BI2', calls, call_at)
  for i = 1, count do
    local k, term
    k, term, call_at = unpack('<I2I2', calls, call_at)
    keys[i], by[i] = key_at + k, terms_at(term)
  end
  astray = false
  local failed
  if admission == SPENDS then
    local expenses
    expenses, call_at = unpack('<I4c0', calls, call_at)
    changed = {}
    if not all_or_none(count) and not astray then failed = spend(expenses, 1) end
    failure = failure or failed
  elseif count == 1 then
    alone(admission, keys[1], by[1])
  else
    changed = {}
    if admission == ALL_OR_NONE then
      all_or_none(count)
    else
      each(count, admission == EACH_UNLESS_OVER)
    end
  end
  if astray or failed then
    replied = replied + 1
    reply[replied] = astray and ASTRAY or UNWRITTEN
  else
    if changed ~= stored then keep_changes() end
    tell(count)
  end
end
-- What Redis takes from nobody is told to all.
if failure and runs == 0 and not next(writers) then return failure end
write_counters()
return packed(reply, 1, replied)
