-- The structures of public data sets: what the columns of papers' tables are called, and what data sets call them.
local sets = {
  amos = {
    { "Spl", "spleen" }, { "R.Kd", "right kidney" }, { "L.Kd", "left kidney" }, { "GB", "gallbladder" }, { "Eso", "esophagus" },
    { "Liver", "liver" }, { "Stom", "stomach" }, { "Aorta", "aorta" }, { "IVC", "inferior vena cava" }, { "Panc", "pancreas" },
    { "RAG", "right adrenal gland" }, { "LAG", "left adrenal gland" }, { "Duo", "duodenum" }, { "Blad", "bladder" },
    { "Pros", "prostate/uterus" },
  },
  btcv = {
    { "Spl", "spleen" }, { "R.Kd", "right kidney" }, { "L.Kd", "left kidney" }, { "GB", "gallbladder" }, { "Eso", "esophagus" },
    { "Liver", "liver" }, { "Stom", "stomach" }, { "Aorta", "aorta" }, { "IVC", "inferior vena cava" },
    { "Veins", "portal and splenic veins" }, { "Panc", "pancreas" }, { "AG", "adrenal glands" },
  },
  synapse = {
    { "Aorta", "aorta" }, { "GB", "gallbladder" }, { "L.Kd", "left kidney" }, { "R.Kd", "right kidney" }, { "Liver", "liver" },
    { "Panc", "pancreas" }, { "Spl", "spleen" }, { "Stom", "stomach" },
  },
  acdc = { { "RV", "right ventricle" }, { "Myo", "myocardium" }, { "LV", "left ventricle" } },
}

-- What else data sets call one, in small letters: AMOS22 itself, BTCV's list, ACDC's and nnU-Net's dataset.json.
local same = {
  ["postcava"] = "inferior vena cava", ["vena cava"] = "inferior vena cava", ["gall bladder"] = "gallbladder",
  ["arota"] = "aorta", ["prostate"] = "prostate/uterus", ["veins"] = "portal and splenic veins",
  ["portal vein and splenic vein"] = "portal and splenic veins", ["rv"] = "right ventricle", ["rvc"] = "right ventricle",
  ["right ventricular cavity"] = "right ventricle", ["myo"] = "myocardium", ["mlv"] = "myocardium",
  ["lv"] = "left ventricle", ["lvc"] = "left ventricle", ["left ventricular cavity"] = "left ventricle",
}

-- The columns of a set with the mean over them behind: { name, structure }, { name, mean = true }.
local function columns(set, mean)
  local list = {}
  for i, column in ipairs(sets[set]) do list[i] = { name = column[1], structure = column[2] } end
  list[#list + 1] = { name = mean, mean = true }
  return list
end

return { columns = columns, same = same }
