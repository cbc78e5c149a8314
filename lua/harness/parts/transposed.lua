-- A transposed convolution whose kernel is its stride: `times` as many rows and columns. how: bias (false: none), group, frozen.
-- Numbers are drawn as torch's, whose fan-in of it is that of an output.
return function(m, x, name, width, times, how)
  local function numbers(what, shape)
    return m.parameter {
      name = name .. "." .. what, shape = shape, init = "uniform", value = (width * times * times) ^ -0.5, role = what,
      group = how.group, frozen = how.frozen,
    }
  end
  local weight = numbers("weight", { x.channels, 1, times, times, width })
  local bias = how.bias ~= false and numbers("bias", { width })
  return m.op.conv_transpose { weight, bias, x, stride = { 1, times, times } }
end
