-- All that is in no run and no step, and each call of it by its rules.
--
-- Calls are decided one after the other, and each sees what those before it did. All is written at the end: first what is
-- written down, then the counters. What Redis refuses, such as anything if it is full, it refuses before anything is written:
-- then all are decided once more, and nothing is done to those who would have that written.
--
-- KEYS    last the trail of what is spent, if any call spends something
-- ARGV    terms, one argument each, as call.lua says; and last all calls: B I2  admission, number of charges; then for
--         each charge
--         I2 I2  counter, terms: which of those that are not of a run, counted from 1
--         of a call that spends something I4 and bytes  what is written down, as all.lua says
-- Reply   -2^56 in place of all charges of a call to which nothing was done because Redis takes nothing of it. If there is
--         any, the reply is followed by what Redis says of that

local ALL_OR_NONE, EACH_UNLESS_OVER, SPENDS = 0, 2, 3
local UNWRITTEN = -2 ^ 56

local terms, notes = {}, {}
-- What Redis says if it takes no notes, and if it takes nothing at all.
local notes_refused, all_refused

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
    if any and not over[i] and p[OP] ~= GIVE_BACK and p[OP] ~= SET and p[OP] ~= CLEAR then
      charge(k, p, TAKE, 0, 0, false, at)
    else
      charge(k, p, p[OP], p[ROOM], p[AMOUNT], p[OVERRUN], at)
    end
  end
end

-- A call of one charge: every group of quotas is its own, and nothing has to be taken back. Whether it may not stand.
local function alone(admission, k, p)
  -- A quota refuses by itself here, where no other could pass.
  local overrun = p[OVERRUN] and (admission ~= ALL_OR_NONE or p[BINDING] < 0)
  local before = stored[k]
  changed = stored
  charge(k, p, p[OP], p[ROOM], p[AMOUNT], overrun, 1)
  before = before or loaded[k]
  if stored[k] == before then return false end
  if all_refused then
    stored[k] = before
    return true
  end
  writers[k] = p
end

local first_call, first_reply = call_at, replied

local function decide()
  while call_at <= #calls do
    local admission, count, expenses
    admission, count, call_at = unpack('<BI2', calls, call_at)
    for i = 1, count do
      local k, term
      k, term, call_at = unpack('<I2I2', calls, call_at)
      keys[i], by[i] = key_at + k, terms_at(term)
    end
    if admission == SPENDS then expenses, call_at = unpack('<I4c0', calls, call_at) end
    astray = false
    local undone
    if count == 1 and not expenses then
      undone = alone(admission, keys[1], by[1])
    else
      changed = {}
      if admission ~= ALL_OR_NONE and not expenses then
        each(count, admission == EACH_UNLESS_OVER)
      elseif not all_or_none(count) and expenses and not astray then
        undone = notes_refused
        notes[#notes + 1] = expenses
      end
      undone = undone or all_refused and next(changed)
    end
    if astray or undone then
      replied = replied + 1
      reply[replied] = astray and ASTRAY or UNWRITTEN
    else
      if changed ~= stored then keep_changes() end
      tell(count)
    end
  end
end

local function decide_again()
  for k, s in pairs(loaded) do stored[k] = s end
  call_at, replied, writers = first_call, first_reply, {}
  decide()
end

decide()
for i = 1, #notes do notes_refused = notes_refused or spend(notes[i], 1) end
if notes_refused then decide_again() end
local k, p = next(writers)
if k then
  local s, taken = stored[k], nil
  taken, all_refused = pcall(save, p, names[k], loaded[k], s[1], s[2], s[3], s[4])
  if taken then
    all_refused, writers[k] = nil, nil
    write_counters()
  else
    decide_again()
  end
end
local failure = all_refused or notes_refused
if not failure then return packed(reply, 1, replied) end
return { packed(reply, 1, replied), failure.err or failure }
