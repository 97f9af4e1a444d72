-- An approximate sliding window, the cheap way: the count of this window, and that of the one before by the share of it
-- that still counts. It may admit nearly twice the limit. KEYS[1]: the counter. ARGV: milliseconds of a window, the
-- limit, milliseconds until the counter is forgotten. Reply: what is left, or -1 for a refusal.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local window = math.floor(now / length)
local before, used, is_here = 0, 0, false
local state = call('GET', KEYS[1])
if state then
  local at, earlier, count = struct.unpack('ddd', state)
  if at == window then
    before, used, is_here = earlier, count, true
  elseif at + 1 == window then
    before = count
  end
end
local spent = used + before * (window + 1 - now / length)
if spent + 1 > most then return -1 end
if is_here then
  call('SETRANGE', KEYS[1], 16, struct.pack('d', used + 1))
else
  call('PSETEX', KEYS[1], ARGV[3], struct.pack('ddd', window, before, used + 1))
end
return math.floor(most - spent - 1)
