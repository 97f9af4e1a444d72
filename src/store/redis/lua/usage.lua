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

-- As much as is spent of a unit; -1 - n is as much as was held, and at least n.
local function spent_of(r, unit, spent)
  if spent >= 0 then return spent end
  local most = -1 - spent
  for _, part in ipairs(r.parts) do
    if part.info:byte() == unit then most = max(most, part.granted) end
  end
  return most
end

-- Raises the totals of a record to what is told. By how much each grew, and whether any did.
local function grow(r, told)
  local grown, totals, any = {}, {}, false
  for at = 1, max(#told, #r.totals), 8 do
    local was = at <= #r.totals and unpack('<d', r.totals, at) or 0
    local is = at <= #told and max(unpack('<d', told, at), was) or was
    grown[#grown + 1], totals[#totals + 1] = pack('<d', is - was), pack('<d', is)
    any = any or is > was
  end
  r.totals = table.concat(totals)
  return grown, any
end

-- Writes down by how much usage grew, if it did; or that it is at its end, if tokens or money were held for it. Before
-- anything is charged: what cannot be written down is not.
local function write_down(stream, r, report, found, tokens, money, ends)
  local told = pack('<dd', spent_of(r, TOKENS, tokens), spent_of(r, MONEY, money)) .. report.classes
  local grown, any = grow(r, told)
  for _, part in ipairs(r.parts) do any = any or ends and part.info:byte() ~= HITS end
  if not any then return end
  local note = pack('<BBd', NOTE_VERSION, found, now) .. grown[1] .. grown[2] .. pack('<B', #grown - 2)
    .. table.concat(grown, '', 3) .. pack('<I4', #r.about) .. r.about .. report.line
  call('XADD', stream, 'MAXLEN', '~', whole(report.most), '*', 'e', note)
end
