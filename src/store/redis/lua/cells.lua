-- The cells of sliding windows, and of what is held: the twin of src/algorithm/cells.rs.
--
-- A state is four values: the cells but the last, as they are in Redis; their total; the index of the last; its count.
-- Where total is 0 nothing else counts.

local max, min, sub = math.max, math.min, string.sub

local function load_cells(key)
  local raw = call('GET', key)
  if not raw then return '', 0, 0, 0 end
  local total, count, last = unpack('<dI7I6', raw)
  return sub(raw, FRONT + 1), total, last, count
end

-- The cell that a charge made now belongs to; never an earlier one than the last.
local function current(width, total, last)
  local at = (now - now % width) / width
  return total > 0 and max(at, last) or at
end

-- The state without what is forgotten by now.
local function forget(width, a, b, c, d)
  local from, oldest = 1, current(width, b, c) - CELLS
  if b == 0 or c < oldest then return '', 0, 0, 0 end
  while from < #a do
    local index, count = unpack('<BI7', a, from)
    if c - (c - index) % 256 >= oldest then break end
    b, from = b - count, from + CELL
  end
  if from > 1 then a = sub(a, from) end
  return a, b, c, d
end

local function add_to_cells(width, amount, a, b, c, d)
  amount = min(amount, MOST - b)
  if amount > 0 then
    local at = current(width, b, c)
    if b == 0 then
      a, c, d = '', at, 0
    elseif c < at then
      a, c, d = a .. pack('<BI7', c % 256, d), at, 0
    end
    b, d = b + amount, d + amount
  end
  return a, b, c, d
end

-- Until what is counted in a cell will have been forgotten.
local function forgotten_after(width, index) return max((index + CELLS + 1) * width - now, 0) end

-- Until so many units will have been forgotten.
local function freed_from_cells(width, excess, a, b, c)
  if b == 0 then return 0 end
  local freed = 0
  for from = 1, #a, CELL do
    local index, count = unpack('<BI7', a, from)
    freed = freed + count
    if freed >= excess then return forgotten_after(width, c - (c - index) % 256) end
  end
  return forgotten_after(width, c)
end

-- Writes a state and its expiry in one command; only what changed where the cells but the last are as before.
local function save_cells(key, expiry, in_place, a, b, c, d)
  if in_place then return call('SETRANGE', key, '0', pack('<dI7', b, d)) end
  return call('PSETEX', key, expiry, pack('<dI7I6', b, d, c) .. a)
end
