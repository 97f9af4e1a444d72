-- What is spent, written down: the twin of src/store/usage/totals.rs, in the form of src/store/usage/bytes.rs.

local NOTE_VERSION = 1

-- What is to be written down: d how many notes are kept; I4 and bytes  whose usage it is, if nothing was reserved; I4 and
-- bytes  doubles, as much as was used of each class; the rest  what else is to be known. Nothing, if there is nothing.
local function read_report(said, at)
  if at > #said then return nil end
  local report, line_at = {}, nil
  report.most, report.about, report.classes, line_at = unpack('<dI4c0I4c0', said, at)
  report.line = said:sub(line_at)
  return report
end

-- As much as was held of a unit, and at least so much.
local function held_of(r, unit, least)
  local most = least
  for _, part in ipairs(r[PARTS]) do
    if part[STAYS]:byte(UNIT_AT) == unit then most = max(most, part[GRANTED]) end
  end
  return most
end

-- Writes down by how much usage grew, if it did; or that it is at its end, if tokens or money were held for it. Before
-- anything is charged: what cannot be written down is not. Spent is -1 - n where that is as much as was held
-- and at least n.
local function write_down(stream, r, report, found, tokens, money, ends)
  if tokens < 0 then tokens = held_of(r, TOKENS, -1 - tokens) end
  if money < 0 then money = held_of(r, MONEY, -1 - money) end
  local told, totals = pack('<dd', tokens, money) .. report.classes, r[TOTALS]
  local grown, any = told, told:find('[^%z]')
  if totals == '' then
    r[TOTALS] = told
  else
    -- By how much each grew that is told, and what they come to.
    local more, raised = {}, {}
    any = false
    for at = 1, max(#told, #totals), 8 do
      local was = at <= #totals and unpack('<d', totals, at) or 0
      local is = at <= #told and max(unpack('<d', told, at), was) or was
      more[#more + 1], raised[#raised + 1] = pack('<d', is - was), pack('<d', is)
      any = any or is > was
    end
    grown, r[TOTALS] = table.concat(more), table.concat(raised)
  end
  if ends and not any then
    for _, part in ipairs(r[PARTS]) do any = any or part[STAYS]:byte(UNIT_AT) ~= HITS end
  end
  if not any then return end
  local note = pack('<BBd', NOTE_VERSION, found, now) .. sub(grown, 1, 16) .. pack('<B', #grown / 8 - 2) .. sub(grown, 17)
    .. pack('<I4', #r[ABOUT]) .. r[ABOUT] .. report.line
  call('XADD', stream, 'MAXLEN', '~', report.most, '*', 'e', note)
end
